"""What to do about a Pod: the failure table of :mod:`ottoscaler.pods.failure_table`, applied to one view."""

from __future__ import annotations

import math
import re
from fnmatch import fnmatchcase
from functools import cache

from ottoscaler.errors import KubernetesError, QuotaExceeded
from ottoscaler.model import Judgement, Phase, PodView, Reason, Status, Verdict
from ottoscaler.pods.failure_table import (
    DISRUPTIONS,
    GRACE_SECONDS,
    TABLE,
    WITHOUT_A_POD,
    FailureRule,
    MessageFrom,
    Sign,
    Stage,
)
from ottoscaler.tables import markdown

MAX_MESSAGE = 4096  # bytes of UTF-8 (docs/results.md)
ROOT_HINT = " (workers do not run as root; an image that needs root needs an operator's template)"

_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*"')

WAIT = Judgement(Verdict.WAIT)
_ROOT_REASONS = (Reason.ERROR, Reason.CONFIG_ERROR, Reason.START_ERROR)
_ROOT_SIGNS = ("runasnonroot", "run as root", "permission denied", "operation not permitted", "must be root")


def judge(
    view: PodView,
    *,
    age_seconds: float,
    waiting_seconds: float,
    pending_timeout_seconds: float = math.inf,
    running_seconds: float = 0.0,
    run_timeout_seconds: float = math.inf,
    pull_grace_seconds: float = GRACE_SECONDS,
) -> Judgement:
    """The verdict on a Pod that exists and that Ottoscaler does not intend to delete. Any thread; pure.

    ``age_seconds`` counts from the Pod's creation, ``waiting_seconds`` from when :func:`trouble` first gave
    its present answer, and ``running_seconds`` from the worker container's start. A terminal Pod gets a final
    verdict at once, whatever the times are. So does a Pod whose worker ended with 0. A Pod that is being
    deleted gets the verdict to wait, since its node must act next.
    """
    if view.deleting and not view.terminal and view.exit_code != 0:
        return WAIT
    late = age_seconds >= pending_timeout_seconds
    too_long = running_seconds >= run_timeout_seconds
    stages = _stages(view, late=late, too_long=too_long)
    for row in _rows(stages):
        grace = pull_grace_seconds if row.grace and row.reason is Reason.IMAGE_PULL else row.grace
        if _fits(row, view) and waiting_seconds >= grace:
            return _judgement(row, view)
    return WAIT


def vanished(view: PodView | None) -> Judgement:
    """The verdict on a Pod that is gone from the API without a record. ``view`` is its last one, if any.

    Ottoscaler keeps a record before it deletes a Pod, so somebody else deleted this one. That is an
    infrastructure failure, unless the worker was seen to end before. Any thread; pure.
    """
    if view is not None and view.ended:
        # None of its containers runs any more, so it is judged as a failed Pod whose worker ended like this.
        gone = view if view.terminal else view._replace(phase=Phase.FAILED)
        return judge(gone, age_seconds=0.0, waiting_seconds=0.0)
    if view is not None and view.disruption:
        return _judgement(next(row for row in DISRUPTIONS if _fits(row, view)), view)
    message = next(sentence for reason, _, _, sentence in WITHOUT_A_POD if reason is Reason.DELETED)
    return Judgement(Verdict.RETRY, Status.FAILED, Reason.DELETED, message)


def refused(error: KubernetesError) -> Judgement:
    """The verdict on a worker whose Pod the API server does not create, or does not let start."""
    reason = Reason.REJECTED if error.status else Reason.PENDING_TIMEOUT  # 0: there was no answer at all
    if isinstance(error, QuotaExceeded):
        reason = Reason.QUOTA
    return Judgement(Verdict.FINISHED, Status.FAILED, reason, cut(str(error)))


def trouble(view: PodView) -> str:
    """What keeps a Pod waiting, as a reason of a result; empty if nothing does. The caller times it.

    It is not the kubelet's own word, because that alternates, as between ErrImagePull and ImagePullBackOff.
    """
    for row in _rows((Stage.WAITING,)):
        if _fits(row, view):
            return row.reason.value
    return ""


def is_telling(view: PodView) -> bool:
    """Whether a waiting Pod's message says more than that the kubelet will try again later."""
    return bool(_BACK_OFF.sub("", view.waiting_message).strip(" :"))


def cut(text: str, limit: int = MAX_MESSAGE) -> str:
    """``text`` in at most ``limit`` bytes of UTF-8. No character is cut in half."""
    # A lone surrogate, which JSON can carry and UTF-8 cannot, becomes a question mark.
    raw = text.encode(errors="replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode(errors="ignore") + "..."


def _stages(view: PodView, *, late: bool, too_long: bool) -> tuple[Stage, ...]:
    if view.phase is Phase.SUCCEEDED:
        return (Stage.SUCCEEDED,)
    if view.phase is Phase.FAILED:
        stages: tuple[Stage, ...] = (Stage.FAILED, Stage.ENDED)
        if view.deleting:
            stages += (Stage.DELETED_BY_OTHERS,)
        return stages if view.started else (*stages, Stage.NEVER_STARTED)
    if view.exit_code is not None:
        # A sidecar still runs, but the worker has ended. If the whole Pod is being evicted, the eviction may
        # have caused the worker's failure: the Pod's final state will tell.
        return () if view.disruption and view.exit_code else (Stage.ENDED,)
    if view.phase is Phase.UNKNOWN:
        return ()  # no row: wait, since its node is silent
    stages = (Stage.WAITING,)
    # A Pod may also be Pending while its worker runs, beside a sidecar that cannot start.
    if late and view.phase is Phase.PENDING and not view.started:
        stages += (Stage.OVERDUE,)
    return (*stages, Stage.TOO_LONG) if too_long and view.started else stages


@cache  # of a few combinations
def _rows(stages: tuple[Stage, ...]) -> tuple[FailureRule, ...]:
    return tuple(row for row in TABLE if row.stage in stages)


def _fits(row: FailureRule, view: PodView) -> bool:
    shown = _shown(row.sign, view)
    if not shown or (row.says and not any(piece in _said(row.sign, view).lower() for piece in row.says)):
        return False
    return not row.values or any(fnmatchcase(shown, value) for value in row.values)


def _shown(sign: Sign, view: PodView) -> str:
    if sign is Sign.PHASE:
        return view.phase.value
    if sign is Sign.POD_REASON:
        return view.pod_reason
    if sign is Sign.DISRUPTION:
        return view.disruption
    if sign is Sign.CONTAINER_REASON:
        return view.container_reason
    if sign is Sign.EXIT_CODE:
        return "" if view.exit_code is None else str(view.exit_code)
    return view.waiting_reason if sign is Sign.WAITING else view.unschedulable


def _said(sign: Sign, view: PodView) -> str:
    if sign is Sign.WAITING:
        return view.waiting_message
    return view.container_message if sign is Sign.CONTAINER_REASON else view.pod_message


def _judgement(row: FailureRule, view: PodView) -> Judgement:
    return Judgement(
        verdict=row.verdict,
        status=row.status,
        reason=row.reason,
        message=_message(row, view),
        exit_code=view.exit_code,
        avoid_node=row.avoid_node,
    )


def _message(row: FailureRule, view: PodView) -> str:
    container, pod = view.container_message, view.pod_message or view.disruption_message
    waiting = f"{view.waiting_reason}: {view.waiting_message}".strip(": ")
    order = {
        MessageFrom.CONTAINER: (container, pod),
        MessageFrom.POD: (pod, container),
        MessageFrom.WAITING: (waiting, pod),
        MessageFrom.SCHEDULER: (view.unschedulable,),
    }[row.words]
    told = next((words.strip() for words in order if words.strip()), "")
    text = told or row.sentence.format(exit_code=view.exit_code)
    hint = ROOT_HINT if row.reason in _ROOT_REASONS and _needs_root(told, view) else ""
    return cut(text, MAX_MESSAGE - len(hint)) + hint


def _needs_root(told: str, view: PodView) -> bool:
    return view.exit_code == 126 or any(sign in told.lower() for sign in _ROOT_SIGNS)


def render_table() -> str:
    """The table in Markdown for docs/failures.md, with the rows in the order in which they are tried."""
    head = ("Pod", "what it shows", "one of", "status", "reason", "verdict", "in words")
    without = (
        (status, f"`{reason.value}`", verdict, words) for reason, status, verdict, words in WITHOUT_A_POD
    )
    return (
        markdown(head, map(_shown_row, TABLE))
        + "\nAnd without a Pod to look at:\n\n"
        + markdown(("status", "reason", "verdict", "in words"), without)
    )


def _shown_row(row: FailureRule) -> tuple[str, ...]:
    verdict = row.verdict.value + (", on another node" if row.avoid_node else "")
    if row.grace:
        pull = " (`OTTO_IMAGE_PULL_GRACE_SECONDS`)" if row.reason is Reason.IMAGE_PULL else ""
        verdict += f" after {row.grace:.0f} s{pull}"
    values = ", ".join(f"`{value}`" for value in row.values) or "any"
    if row.says:
        values += " saying " + " or ".join(f'"{piece}"' for piece in row.says)
    words = row.sentence.replace("{exit_code}", "N") or "it did what it was asked"
    return (
        row.stage.value, row.sign.value, values, row.status.value, f"`{row.reason.value}`", verdict, words,
    )  # fmt: skip
