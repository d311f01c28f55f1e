"""The durable steps of a scale_down: the candidates, the chosen victims, and the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from ottoscaler.errors import BrokenKey
from ottoscaler.ledger.bounded_replies import MOST_BYTES, MOST_STRINGS
from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.records import Entry, Record, Reply, Word, entries, text, timestamp
from ottoscaler.model import WorkerId

INDEXES_A_SCRIPT = 1000  # whose states one script returns; that takes Redis some 2 ms


def _parts(counts: dict[str, int]) -> Iterator[list[str | int]]:
    """Yield the arguments for one script after another: triples of event id, first index and number."""
    part: list[str | int] = []
    room = INDEXES_A_SCRIPT
    for event_id, count in counts.items():
        first = 0
        while first < count:
            many = min(count - first, room)
            part += [event_id, first, many]
            first, room = first + many, room - many
            if room == 0:
                yield part
                part, room = [], INDEXES_A_SCRIPT
    if part:
        yield part


class ScaleDownSteps:
    """The steps. Each method may be repeated. Any thread may call them."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def candidates(self, event_id: str, task_id: str | None) -> list[Record]:
        """The open scale_ups with a smaller id, of one task or (``None``) of any.

        One script finds them. More scripts read the states of their indexes."""
        answer = self._scripts.run("candidates", event_id, task_id or "", "0" if task_id is None else "1")
        counts = {text(i): int(n) for i, n in answer[1]}
        told: dict[str, list[bytes]] = {victim: [] for victim in counts}
        for part in _parts(counts):
            for victim, flat in self._scripts.run("indexes", *part)[1]:
                told[text(victim)] += flat
        found = []
        for victim, flat in told.items():
            with suppress(BrokenKey):  # its owner tells of it; other events' workers are taken all the same
                found.append(Record.parse(victim, "0", flat))
        return found

    def cancel(
        self,
        event_id: str,
        epoch: int,
        limit: int | None,
        order: Sequence[tuple[str, int]],
        *,
        spare_begun: bool = False,
    ) -> int:
        """Make the intent to cancel durable, for at most ``limit`` victims in this order.

        With ``spare_begun``, those that have begun are left out. Returns how many victims are chosen in all,
        those of earlier calls included."""
        flat = [word for victim, index in order for word in (victim, str(index))]
        answer = self._scripts.fenced(
            "cancel",
            event_id,
            self._scripts.owner,
            epoch,
            "" if limit is None else limit,
            timestamp(),
            int(spare_begun),
            *flat,
        )
        if answer[0] != b"ok":
            return 0
        self._scripts.tell_unbegun(answer[2])
        return int(answer[1])

    def victims(self, event_id: str, epoch: int) -> list[tuple[WorkerId, str]]:
        """The begun workers that a scale_down has chosen, each with its Pod's UID ('' if unknown)."""
        answer = self._scripts.fenced("victims", event_id, self._scripts.owner, epoch)
        if answer[0] != b"ok":
            return []
        found = []
        for key, value in zip(answer[1][::2], answer[1][1::2], strict=True):
            name = text(key)
            if name.startswith("v:"):
                victim, index = name[2:].rsplit(":", 1)
                attempt, uid = text(value).split(":", 1)
                found.append((WorkerId(victim, int(index), int(attempt)), uid))
        return found

    def finish(self, event_id: str, epoch: int, *, patient: bool = False) -> Reply:
        """Finish a scale_down: write its result and acknowledge its entry.

        With ``patient``, nothing is written and the answer is MORE, as long as some victim's end is not
        recorded.
        """
        answer = self._scripts.fenced(
            "finish_down", event_id, self._scripts.owner, epoch, "1" if patient else "0"
        )
        return Reply(Word(text(answer[0])), duration_ms=int(answer[2]) if answer[0] == b"ok" else None)

    def look_ahead(self, behind: str, count: int, *, unread_seconds: float = 0.0) -> tuple[str, list[Entry]]:
        """The id to go on from ('' at the end of the stream), and scale_downs after ``behind`` that nobody
        has read yet, for at least ``unread_seconds``."""
        words = (behind, count, MOST_BYTES, int(unread_seconds * 1000))
        answer = self._scripts.run("lookahead", *words)
        return text(answer[1]), entries(answer[2])

    def sent(self, event_id: str) -> Entry | None:
        """A scale_down's entry; ``None`` for another event's, one that is gone, and one that is too large."""
        words = ("events", event_id, event_id, "up", 1, MOST_BYTES, MOST_STRINGS // 2)
        for entry_id, flat, cut in self._scripts.run("cut_entries", *words)[1]:
            (entry,) = entries([(entry_id, flat)])
            if not cut and (b"type", b"scale_down") in (entry.fields or ()):
                return entry
        return None
