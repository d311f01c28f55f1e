"""Two ways to end a worker's Pod: delete it once its result is durable, or delete it and wait for its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress

from ottoscaler.errors import KubernetesError, NotYet, PodGone, RedisError, Stopping
from ottoscaler.model import Status
from ottoscaler.retry import LONGEST_PAUSE_SECONDS
from ottoscaler.telemetry.logs import flood
from ottoscaler.workers.attempt import Attempt
from ottoscaler.workers.logs import Try, keep_log
from ottoscaler.workers.monitor import LONGEST_WAIT_SECONDS, is_gone, until_next_look

DELETE_TRIES = 5  # then the sweep deletes the Pod; its result stands
ASK_TRIES = 2  # then the worker looks whether its Pod has ended by itself
ASK_AGAIN_SECONDS = LONGEST_PAUSE_SECONDS  # between such looks, while the delete is refused


def note_unseen(a: Attempt) -> None:
    """Note in the ledger the name of a Pod that the watch may not show. Called before the result is durable.

    If this process dies before it deletes the Pod, the sweep finds it by that name.
    """
    uid = a.subscription.uid
    if not uid or a.subscription.certain or a.deps.elsewhere or not a.may_be_lost:
        return
    unseen, name = a.deps.ledger.unseen, a.subscription.name
    a.deps.retrier.call("noting a Pod that the watch does not show", lambda: unseen.note(name, uid))
    a.noted_unseen = True


def _forget_unseen(a: Attempt) -> None:
    if a.noted_unseen:
        with suppress(RedisError):  # otherwise the sweep looks, and finds that the Pod has gone
            a.deps.ledger.unseen.forget(a.subscription.name)


def delete(a: Attempt, uid: str, *, kept_seconds: float = 0.0, name: str = "") -> None:
    """Delete the Pod, unless it is being deleted, has gone, or is kept for ``kept_seconds`` after its end.

    ``name`` is the Pod's, if it is not the worker's own. A delete that fails is logged, and the reconciler
    deletes the Pod later.
    """
    deps, subscription = a.deps, a.subscription
    if not uid or subscription.certain:
        return
    view = subscription.view if subscription.view is not None and subscription.view.uid == uid else None
    if view is not None and view.deleting:
        return
    if kept_seconds > 0 and view is not None and view.terminal:  # the sweep deletes it later
        return
    if view is not None and view.terminal:
        deps.metrics.pod_reaction.observe(time.monotonic() - subscription.seen_at)
    tries = None if subscription.looked_at else DELETE_TRIES  # the sweep may not see it
    try:
        deps.retrier.call(
            "deleting a Pod", lambda: deps.pods.delete(name or subscription.name, uid), tries=tries
        )
        a.log.debug("pod_deleted", "the Pod was deleted")
        _forget_unseen(a)
    except PodGone:
        subscription.lost()
        _forget_unseen(a)
    except (KubernetesError, Stopping) as error:
        a.log.warning("delete_failed", f"the Pod is left to the reconciler: {error}")


def see_it_go(
    a: Attempt, over: Callable[[], bool], status: Status, left: Callable[[], float] = lambda: math.inf
) -> bool:
    """Delete the Pod with its own grace period, and wait until it is gone or ``over``. The intent is durable.

    ``status`` is what the worker will be recorded with; it decides whether the log is kept. False if ``left``
    seconds were up first. Raises NotYet if this thread may not wait, Stopping if the next replica goes on,
    and Fenced.
    """
    deps, subscription, asked, refused = a.deps, a.subscription, False, False
    while not over():
        subscription.look()
        if is_gone(a, cancelled=True) or over():
            break
        view = subscription.view
        if view is not None and view.deleting:
            keep_log(a, status, Try.WHILE_GOING)
        a.check_ownership()
        if deps.abandon.is_set() or a.run.leaving:
            raise Stopping("the worker whose Pod is to go is left to the next replica")
        seconds = left()
        # A terminal Pod would be removed at once, before its node has reported the end of its containers.
        if not asked and not (view is not None and (view.deleting or view.terminal)):
            if not refused:
                keep_log(a, status, Try.BEFORE_GOING)
            asked = _ask_to_go(a)
            if asked:
                continue
            refused, seconds = True, ASK_AGAIN_SECONDS
        if seconds <= 0:
            return False
        if not a.waits:
            raise NotYet("the Pod that is to go is not gone yet")
        wait = min(until_next_look(a, LONGEST_WAIT_SECONDS), seconds)
        if not subscription.wait(wait) and not subscription.looked_at and (asked or not refused):
            a.log.warning("cancel_waits", "a Pod that was asked to go is still there; its node may be lost")
    keep_log(a, status, Try.BEFORE_RESULT)
    return True


def _ask_to_go(a: Attempt) -> bool:
    """False if the API server did not take the delete."""
    deps, subscription = a.deps, a.subscription
    try:
        reply = deps.retrier.call(
            "asking a Pod to go",
            lambda: deps.pods.delete(subscription.name, subscription.uid, told=True),
            tries=ASK_TRIES,
        )
    except PodGone:
        subscription.lost()
    except KubernetesError as error:
        flood.warning("trying_again", f"asking a Pod to go failed, trying again: {error}", key="ask")
        return False
    else:
        deps.watcher.asked_to_go(reply)
    return True
