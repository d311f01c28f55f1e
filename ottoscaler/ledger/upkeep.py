"""Scripts for upkeep: the consumer group, the states of workers, and what may expire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.records import EventState, IndexState, Intent, Word, outcome_words, text, timestamp
from ottoscaler.model import Outcome, WorkerId

WORKERS_A_SCRIPT = 500  # whose states one script returns
MOST_HELD = 4  # installation ids in a claim; replicas with the same ids can judge the same Pods


@dataclass(frozen=True, slots=True)
class Expired:
    """The result of one look at the finished events."""

    low_water: str
    looked: int  # events looked at, whose retention time is over
    stay: int  # how many of them stay: another group needs their entries, or Redis refuses XACK
    ledgers: int  # how many ledgers were removed
    entries: int  # how many entries were removed


@dataclass(frozen=True, slots=True)
class Lost:
    """Entries that were removed from the stream before the group was handed them."""

    entries: int
    sentence: str  # the dead letter's text: how many were lost, and between which ids


@dataclass(frozen=True, slots=True)
class Bounded:
    """The result of one step that keeps the outgoing streams within their bounds."""

    cursor: str  # where to go on among the tombstones; "0" at the end
    results: int  # entries that went for want of bytes since somebody was last told
    dead: int
    unacknowledged: str  # why Redis refuses XACK; '' if it does not


@dataclass(frozen=True, slots=True)
class Search:
    """Where Pods that nobody watches may be. Without ``replicas``, it is another replica's turn to look."""

    namespaces: tuple[str, ...]  # other ones than this replica's
    # consumer: lease in seconds, owners whose Pods it watches
    replicas: dict[str, tuple[float, frozenset[str]]]


Standing = tuple[EventState, str, IndexState | None, Intent | None]


def _standing(state: Any, owner: Any, index: Any, intent: Any) -> Standing:
    try:
        return (
            EventState(text(state)),
            text(owner),
            IndexState.parse(text(index)) if index else None,
            Intent.parse(text(intent)) if intent else None,
        )
    except ValueError:  # no replica wrote it: as where the ledger is overwritten, nobody may judge its Pods
        return EventState.OPEN, "", None, None


class Upkeep:
    """Each method may be repeated, and runs one script, `states` maybe more. Any thread may call them."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def ensure_group(self) -> bool:
        """Create the group at the low-water mark if it is missing. Returns True if it was."""
        return bool(self._scripts.run("ensure_group")[0] == b"created")

    def states(self, workers: Sequence[tuple[str, int]]) -> list[Standing]:
        """For each (event, index): the event's state and owner, the index's state, and the intent to cancel
        it, if there is one. Runs a script for every WORKERS_A_SCRIPT of them."""
        found = []
        for at in range(0, len(workers), WORKERS_A_SCRIPT):
            part = workers[at : at + WORKERS_A_SCRIPT]
            flat = [word for event_id, index in part for word in (event_id, str(index))]
            found += self._scripts.run("states", *flat)[1]
        return [_standing(*words) for words in found]

    def expire(self, retention: float, batch: int, passed_over: int) -> Expired:
        """Raise the low-water mark, and remove finished events whose retention time (seconds) is over.

        Looks at ``batch`` of these events. It skips the ``passed_over`` oldest, which had to stay at an
        earlier look.
        """
        answer = self._scripts.run("expire", int(retention * 1000), batch, passed_over)
        return Expired(text(answer[1]), *(int(n) for n in answer[2:6]))

    def bound(self, retention: float, dead_retention: float, batch: int, cursor: str) -> Bounded:
        """Trim the results and the dead letters, and drop tombstones that are of no more use.

        Looks at about ``batch`` tombstones, starting at the cursor ("0" at first). Times are in seconds.
        """
        answer = self._scripts.run("bound", int(retention * 1000), int(dead_retention * 1000), batch, cursor)
        return Bounded(text(answer[1]), int(answer[2]), int(answer[3]), text(answer[4]))

    def claim_search(self, claim_seconds: float, empty: Sequence[str], forget_after: float) -> Search:
        """Try to claim, for ``claim_seconds``, the search for Pods that nobody watches.

        Returns the other namespaces in which Pods of this installation may still be, and, if the claim is
        this replica's, the replicas and the owners whose Pods they watch. This replica's namespace is noted.

        ``empty`` are namespaces that have no such Pod any more. They are forgotten, unless a replica has
        noted them within ``forget_after`` seconds.
        """
        held = sorted(self._scripts.identity.held_installations)
        answer = self._scripts.run(
            "namespaces",
            self._scripts.owner,
            "+".join(held[-MOST_HELD:]),
            int(claim_seconds * 1000),
            int(forget_after),
            *empty,
        )
        return Search(
            tuple(sorted(map(text, answer[1]))),
            {text(c): (float(lease), frozenset(text(owners).split())) for c, lease, owners in answer[2]},
        )

    def find_lost(self) -> Lost:
        """Find entries that were removed from the stream before this group read them, and dead-letter them,
        once."""
        answer = self._scripts.run("lost", timestamp())
        return Lost(int(answer[1]), text(answer[2]))

    def report_orphan(
        self, worker: WorkerId, uid: str, task_id: str, metadata: str, outcome: Outcome
    ) -> Word:
        """Record the result of a Pod of an earlier installation, once. Answers OK, RECORDED or OWNED."""
        answer = self._scripts.run(
            "report_orphan",
            worker.event_id,
            task_id,
            worker.index,
            worker.attempt,
            uid,
            metadata,
            *outcome_words(outcome),
        )
        return Word(text(answer[0]))
