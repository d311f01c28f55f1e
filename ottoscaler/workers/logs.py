"""Keep the end of a worker's log, after the worker has ended and before its Pod is deleted.

A log must never cost a result. So there are four tries at most, each has a time limit, and a failure is only
logged.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from ottoscaler.errors import KubernetesError, OttoscalerError
from ottoscaler.model import KeepLogs, Status
from ottoscaler.pods.view import WORKER
from ottoscaler.telemetry.logs import flood
from ottoscaler.workers.attempt import Attempt

FIRST_TRY_SECONDS = 1.0  # the result waits for it, so that whoever sees the result finds the log
LAST_TRY_SECONDS = 5.0  # after the result is recorded; the Pod's delete waits for it


class Try(Enum):
    """When a try is made."""

    BEFORE_GOING = "before the Pod is asked to go"  # the Pod may be gone as soon as its container has ended
    WHILE_GOING = "while the Pod is asked to go"  # its container may still write something
    BEFORE_RESULT = "before the result"
    LAST = "after the result"


def keep_log(a: Attempt, status: Status, which: Try) -> None:
    """Keep the log of an attempt that ends with ``status``, if its event or the operator wants it.

    Raises nothing.
    """
    if a.log_done or not _wanted(a, status):
        return
    if which is Try.WHILE_GOING:
        if a.log_of_going:
            return
        a.log_of_going = True
    view = a.subscription.view
    if view is None or not view.started or not a.subscription.uid:
        a.log_done = which is Try.LAST
        return
    last = which is Try.LAST or (which is Try.BEFORE_RESULT and a.subscription.gone)
    try:
        kept = None if a.subscription.gone else _keep(a, which)
        a.log_done = kept is not None and which in (Try.BEFORE_RESULT, Try.LAST)
        if kept:
            a.log.debug("log_kept", f"the last {kept} bytes of its log are kept")
            a.log_saved = True
        elif kept is None and last and not a.log_saved:
            a.log.info("log_lost", "its log cannot be kept: its Pod was gone")
    except Exception as error:  # noqa: BLE001 - no error may hold up the worker's end
        if last and not a.log_saved:
            _tell_lost(a, error)
    a.log_done = a.log_done or last


def keep_log_of_going(a: Attempt, is_cancelled: Callable[[], bool]) -> None:
    """Keep the log of a Pod that a scale_down or somebody else is deleting: soon it cannot be read."""
    view = a.subscription.view
    if view is None or not view.deleting or a.log_of_going or not _wanted(a, Status.FAILED):
        return
    all_of_them = _wanted(a, Status.CANCELLED)
    if all_of_them or not is_cancelled():
        keep_log(a, Status.FAILED, Try.WHILE_GOING)
    a.log_of_going = True


def _wanted(a: Attempt, status: Status) -> bool:
    keep = a.run.event.logs or a.deps.limits.logs.keep
    return keep is KeepLogs.ALL or (keep is KeepLogs.FAILED and status is Status.FAILED)


def _keep(a: Attempt, which: Try) -> int:
    """Returns how many bytes of log are kept. 0 if the log is empty."""
    deps, rules = a.deps, a.deps.limits.logs
    seconds = LAST_TRY_SECONDS if which is Try.LAST and a.waits else FIRST_TRY_SECONDS
    text = deps.pods.log(a.subscription.name, WORKER, rules.most_bytes, seconds)
    if not text:
        return 0
    if not deps.ledger.logs.keep(a.worker, a.run.epoch, text, rules.retention, rules.total_bytes):
        raise OttoscalerError("compressed, it is larger than OTTO_LOGS_TOTAL_BYTES")
    return len(text)


def _tell_lost(a: Attempt, error: Exception) -> None:
    if isinstance(error, KubernetesError) and error.status == 403:
        flood.warning(
            "log_lost", f"logs cannot be kept: the Role lacks `get` on pods/log: {error}", key="403"
        )
        return
    a.log.info("log_lost", f"its log cannot be kept: {error}")
