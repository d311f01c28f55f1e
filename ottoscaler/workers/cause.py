"""Why a Pod did not start, where the Pod itself does not say: in the Events about it."""

from __future__ import annotations

import threading
from dataclasses import replace

from ottoscaler.errors import KubernetesError, Stopping
from ottoscaler.model import Judgement, Reason
from ottoscaler.pods.verdict import cut, is_telling
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.workers.attempt import Attempt

log = get_logger(__name__)

TRIES = 2  # the words are worth a second try, and no worker's end is held up for them

_said = threading.Event()  # once a process is enough to have the Role changed
_STARTS = (Reason.PENDING_TIMEOUT, Reason.IMAGE_PULL, Reason.START_ERROR, Reason.CONFIG_ERROR)


def with_cause(a: Attempt, found: Judgement) -> Judgement:
    """The judgement on a Pod that did not start, with the newest warning about it for a message, unless the
    Pod told the cause itself. A container that waits for a volume only says ContainerCreating."""
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
