"""Reads from the Kubernetes Events about a Pod why it did not start, if the Pod itself does not say."""

from __future__ import annotations

import threading
from dataclasses import replace

from ottoscaler.errors import KubernetesError, Stopping
from ottoscaler.model import Judgement, Reason
from ottoscaler.pods.verdict import cut, is_telling
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.workers.attempt import Attempt

log = get_logger(__name__)

TRIES = 2  # the message is worth a second try, but must not delay a worker's end further

_said = threading.Event()  # one warning for each process is enough to have the Role changed
_STARTS = (Reason.PENDING_TIMEOUT, Reason.IMAGE_PULL, Reason.START_ERROR, Reason.CONFIG_ERROR)


def with_cause(a: Attempt, found: Judgement) -> Judgement:
    """The judgement on a Pod that did not start, with the newest warning about the Pod as its message.

    If the Pod tells the cause itself, the judgement stays as it is. A container that waits for a volume, for
    example, says only ContainerCreating.
    """
    subscription, view = a.subscription, a.subscription.view
    if found.reason not in _STARTS or view is None or view.started or view.terminal or subscription.gone:
        return found
    if is_telling(view):
        return found
    try:
        told = a.deps.retrier.call(
            "reading a Pod's events", lambda: a.deps.pods.warnings(subscription.uid), tries=TRIES
        )
    except (KubernetesError, Stopping) as error:
        if getattr(error, "status", 0) == 403 and not _said.is_set():
            _said.set()
            log.warning("events_forbidden", f"the Role lacks `list` on events, which tell why: {error}")
        return found
    return replace(found, message=cut(f"{view.waiting_reason}: {told[-1]}".strip(": "))) if told else found
