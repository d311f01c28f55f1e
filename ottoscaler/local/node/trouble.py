"""The Events of a kubelet about a Pod that does not start, in a real kubelet's words."""

from __future__ import annotations

from ottoscaler.local.apiserver.core_events import CoreEvents
from ottoscaler.local.apiserver.store import Stored
from ottoscaler.model import JsonObject

_PULL = ("ErrImagePull", "ErrImageNeverPull", "RegistryUnavailable")
_QUIET = ("ContainerCreating", "PodInitializing")


def usual_words(reason: str, container: JsonObject) -> str:
    """What a kubelet says by default about a container that waits for this reason."""
    if reason == "ImagePullBackOff":
        return f'Back-off pulling image "{container.get("image", "")}"'
    return "" if reason in _QUIET else "simulated"


def tell_waiting(
    events: CoreEvents, pod: Stored, container: JsonObject, reason: str, message: str, now: str
) -> None:
    """Write Events that say why a container waits. A wait for volumes has none here."""
    if reason in _QUIET:
        return
    image, host = container.get("image", ""), pod.obj["spec"].get("nodeName", "")
    if reason in _PULL:
        told = [("Warning", "Failed", f'Failed to pull image "{image}": {message}')]
    elif reason == "ImagePullBackOff":
        told = [("Normal", "BackOff", f'Back-off pulling image "{image}"')]
    elif reason == "InvalidImageName":
        told = [("Warning", "InspectFailed", message)]
    else:
        told = []
    final = message if reason.startswith("Create") else reason
    for kind, word, sentence in [*told, ("Warning", "Failed", f"Error: {final}")]:
        events.tell(pod, word, sentence, kind=kind, host=host, container=container["name"], now=now)


def tell(events: CoreEvents, pod: Stored, said: str, now: str) -> None:
    """Write a warning about the whole Pod. ``said`` is its reason, a space and its message."""
    reason, _, message = said.partition(" ")
    events.tell(pod, reason, message, host=pod.obj["spec"].get("nodeName", ""), now=now)
