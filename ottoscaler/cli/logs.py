"""``logs``: prints the kept logs of ended workers, and the log of a running worker from Kubernetes."""

from __future__ import annotations

import argparse
import codecs
import re
import sys
from collections.abc import Iterable, Iterator, Mapping

from ottoscaler.cli.redis_access import Failed
from ottoscaler.cli.terminal import say
from ottoscaler.client import Client
from ottoscaler.config import load as config
from ottoscaler.errors import KubernetesError
from ottoscaler.model import PodView
from ottoscaler.pods.view import WORKER

CONNECTIONS = 2
_NEEDED = ("KUBECONFIG", "NAMESPACE")
# Sequences for colours stay. All others, which could change more on a terminal, are shown as escapes.
_STEERS = re.compile(r"\x1b(?!\[[0-9;]{0,40}m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
_BEGUN = re.compile(r"\x1b(\[[0-9;]{0,40})?\Z")  # the next piece may make a colour of it


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0 if there was something to print, and 1 if nothing is kept or the log cannot be followed."""
    if arguments.follow and _followed(arguments.id, arguments.index, environ):
        return 0
    found = False
    with Client.from_environment(environ) as client:
        for log in client.logs(arguments.id, arguments.index):
            found = True
            print(f"==> worker {log.index}, attempt {log.attempt} <==", flush=True)
            _write([log.text if log.text.endswith(b"\n") else log.text + b"\n"])
    if not found:
        whose = f"worker {arguments.index} of event" if arguments.index is not None else "event"
        say(
            f"no log is kept of {whose} {arguments.id}. By default, only failed workers' logs are kept, "
            "for a day; OTTO_LOGS and an event's field logs change that (docs/operations.md)."
        )
    return 0 if found else 1


def _followed(event_id: str, index: int | None, environ: Mapping[str, str]) -> bool:
    """Follow the running worker's log to its end. Returns whether there was such a worker."""
    from ottoscaler.kube.client import PodClient
    from ottoscaler.kube.credentials import Access
    from ottoscaler.kube.log_follow import follow_log
    from ottoscaler.kube.throttle import Throttle

    wanted = {name: text for name, text in environ.items() if name in _NEEDED}
    settings = config.load(wanted)
    access = Access(settings.kubeconfig, CONNECTIONS)
    pods = PodClient(access, settings.namespace, Throttle(CONNECTIONS, CONNECTIONS), lambda *_: None)
    try:
        views, _ = pods.list(f"managed-by=ottoscaler,ottoscaler.io/event-id={event_id}")
        pod = _chosen(views, index)
        if pod is None:
            return False
        _write(follow_log(access, settings.namespace, pod.name, WORKER))
    except KubernetesError as error:
        raise Failed(
            f"the log cannot be followed: {str(error).rstrip('.')}. It is read from Kubernetes: "
            "set KUBECONFIG and NAMESPACE, with the rights to list pods and to get pods/log."
        ) from error
    return True


def _chosen(views: Iterable[PodView], index: int | None) -> PodView | None:
    """The last attempt of the running worker that is meant. Raises Failed if it could be several workers."""
    running: dict[int, PodView] = {}
    for view in sorted(views, key=lambda view: view.worker.attempt if view.worker else 0):
        if view.worker is not None and view.running and index in (None, view.worker.index):
            running[view.worker.index] = view
    if len(running) > 1:
        named = ", ".join(map(str, sorted(running)[:10])) + (", …" if len(running) > 10 else "")
        raise Failed(f"{len(running)} workers run; say which one: {named}")
    return next(iter(running.values()), None)


def _write(pieces: Iterable[bytes]) -> None:
    """Write the log as it is. On a terminal, replace what could control it."""
    if sys.stdout.isatty():
        for text in for_terminal(pieces):
            sys.stdout.write(text)
            sys.stdout.flush()
        return
    for piece in pieces:
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()


def for_terminal(pieces: Iterable[bytes]) -> Iterator[str]:
    """The text of a log, with only those sequences that set colours. A piece may end within a character or a
    sequence: a followed log comes in whatever pieces the network makes of it."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    begun = ""
    for piece in pieces:
        text = begun + decoder.decode(piece)
        found = _BEGUN.search(text)
        begun = found[0] if found else ""
        yield _unsteered(text[: len(text) - len(begun)])
    yield _unsteered(begun + decoder.decode(b"", final=True))


def _unsteered(text: str) -> str:
    return _STEERS.sub(lambda found: repr(found[0])[1:-1], text)
