"""The table of refusals, as data: what the API server says instead of creating a Pod, and what that means.

The first row that fits decides, so the order matters. The rows for admission webhooks come first: a webhook's
errors may read like the API server's, but concern one policy only. Case is ignored when words are compared.
The words of an internal error have a space or a colon in them, so that no image, name or label of a producer
can contain them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ottoscaler.tables import markdown


class Means(Enum):
    """What becomes of the worker. The value is how the docs say it."""

    EXISTS = "a Pod of that name is there: it is looked at, whose it is"
    TROUBLE = "tried again without end: no worker's failure"
    FOR_NOW = "tried again up to the pending timeout, then `Rejected`"
    NO_ROOM = "tried again up to the pending timeout, then `Quota`"
    NEVER = "`Rejected` at once"


@dataclass(frozen=True)
class Refusal:
    """One row of the table. ``statuses`` may end in ``xx``. An empty field fits always.

    The row fits if the message holds at least one of ``words`` and at least one of ``besides``.
    """

    statuses: str
    reason: str
    words: tuple[str, ...]
    means: Means
    sentence: str
    besides: tuple[str, ...] = ()


OVERDUE = "request did not complete within"  # the API server says this at its own time limit
# The words of an internal error. Its status may be any: an error inside an admission plugin comes as 403.
_INTERNAL = (
    "rpc error:", "etcdserver: ", "no leader", "leader changed", "context deadline exceeded",
    "context canceled", "connection refused", "connection reset", "connection timed out", "broken pipe",
    "unexpected eof", ": eof",
    "i/o timeout", "timed out", "handshake timeout", "timeout: request", "no route to host", "no such host",
    "internal error", "storage is (re)initializing", "server is currently unable", "too many requests",
    "transport is closing", "database space exceeded", "apiserver is shutting down",
    "use of closed network connection", "http2: ",
)  # fmt: skip
# The words of a cluster's own policies. They may quote any part of a Pod, metadata included.
_ADMISSION = (
    "admission webhook", "failed calling webhook", "failed to call webhook", "validatingadmissionpolicy ",
)  # fmt: skip
_NOT_THERE_YET = (
    "error looking up service account", "was not found, retry after", "no api token found",
    "not yet ready to handle request", "status unknown for quota", "unknown quota status",
    "because it is being terminated", "no priorityclass with name", 'pod rejected: runtimeclass "',
)  # fmt: skip

REFUSALS: tuple[Refusal, ...] = (
    Refusal("401 408 409 429 5xx", "", _ADMISSION, Means.FOR_NOW, "a webhook is away, or says: not now"),
    Refusal("", "", _ADMISSION, Means.FOR_NOW, "a webhook tells of an error inside it", _INTERNAL),
    Refusal("", "", _ADMISSION, Means.NEVER, "a webhook or policy forbids it"),
    Refusal("409", "AlreadyExists", (), Means.EXISTS, "an earlier create got through, or the name is taken"),
    Refusal("422", "Invalid", (), Means.NEVER, "the Pod is invalid"),
    Refusal("", "", ("no api token found",), Means.FOR_NOW, "its service account is not ready yet"),
    Refusal("", "", (OVERDUE,), Means.FOR_NOW, "admission, or what stands behind the server, took too long"),
    Refusal("401", "", (), Means.TROUBLE, "our credentials are not accepted; they are read again"),
    Refusal("408 429 5xx", "", (), Means.TROUBLE, "the API server is overloaded or broken"),
    Refusal("", "", _INTERNAL, Means.TROUBLE, "an internal error, whatever its status"),
    Refusal("403", "", ("exceeded quota",), Means.NO_ROOM, "the namespace's quota leaves no room"),
    Refusal("403", "", _NOT_THERE_YET, Means.FOR_NOW,
            "not there yet: a service account, a quota's count, a namespace that is made anew, a class"),
    Refusal("403", "", ("cannot create resource",), Means.FOR_NOW,
            "RBAC says no, as it does for seconds after an API server's restart"),
    Refusal("404", "", (), Means.FOR_NOW, "the namespace is not there, or not yet"),
    Refusal("409", "", (), Means.FOR_NOW, "a race inside the API server, such as two updates of one quota"),
    Refusal("", "", (), Means.NEVER, "forbidden by policy (LimitRange, Pod Security), or no valid request"),
)  # fmt: skip


def refusal(status: int, reason: str, message: str) -> Refusal:
    """The row for the API server's own answer to a create. Any thread; pure."""
    told = message.lower()
    return next(row for row in REFUSALS if _fits(row, status, reason, told))


def is_internal(message: str) -> bool:
    """Whether the words show an error inside the API server. Neither the request nor the status matters."""
    told = message.lower()
    return any(words in told for words in _INTERNAL) and not is_policy(message)


def is_policy(message: str) -> bool:
    """Whether an answer is a webhook's or a policy's, or is about one. It then concerns one create only."""
    told = message.lower()
    return any(words in told for words in _ADMISSION)


def _fits(row: Refusal, status: int, reason: str, told: str) -> bool:
    return (
        (not row.statuses or any(_is(status, one) for one in row.statuses.split()))
        and row.reason in ("", reason)
        and (not row.words or any(words in told for words in row.words))
        and (not row.besides or any(words in told for words in row.besides))
    )


def _is(status: int, shown: str) -> bool:
    return str(status).startswith(shown[:1]) if shown.endswith("xx") else str(status) == shown


def render_refusals() -> str:
    """The table in Markdown for docs/failures.md, with the rows in the order in which they are tried."""
    head = ("status", "reason", "saying", "what it is", "what becomes of it")
    words = ", ".join(f'"{words.strip()}"' for words in _INTERNAL)
    return markdown(head, map(_shown_row, REFUSALS)) + f"\nWords of an internal error: {words}.\n"


def _shown_row(row: Refusal) -> tuple[str, ...]:
    saying = " or ".join(f'"{words.strip()}"' for words in row.words)
    if row.besides:
        saying += ", and words of an internal error"
    if row.words == _INTERNAL:
        saying = "words of an internal error"
    statuses = row.statuses.replace(" ", ", ") or "any"
    reason = f"`{row.reason}`" if row.reason else "any"
    return statuses, reason, saying or "anything", row.sentence, row.means.value
