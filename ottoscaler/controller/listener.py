"""The listener thread: it reads new events with a blocking XREADGROUP, and never more than fit in hand.

It never blocks on the inbox. Without room it reads nothing, so that other replicas take the rest. Then, and
in a pause, it only looks ahead for scale_downs: these must not wait for a free slot or the end of a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ottoscaler.controller.ahead import (
    accept_ahead,
    left_alone,
    needs_no_list,
    room_ahead,
    takes_a_task_away,
)
from ottoscaler.controller.intake import Intake
from ottoscaler.controller.reach import Reach
from ottoscaler.controller.stream_reader import StreamReader
from ottoscaler.errors import Fenced, GroupMissing, RedisError, Wiped
from ottoscaler.events.values import raw_task_id
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import Pause
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.replicas import KILLED_ITS_READERS
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import Control, Loop
from ottoscaler.workers.in_hand import InHand

log = get_logger(__name__)

MOST_AT_ONCE = 8  # entries in one read of a replica alone: they are taken in one round trip
# How long a replica alone waits for room for a whole read. Otherwise a burst of small events takes a read for
# each place that becomes free.
GATHER_SECONDS = 0.02
# Beside other replicas, so that all share a burst evenly. SHARED_AT_ONCE is the most entries in one read.
# With SHARED_IN_HAND events in hand, the next read waits until there are fewer, SHARE_SECONDS at most.
SHARED_AT_ONCE = 2
SHARED_IN_HAND = 2
SHARE_SECONDS = 0.1
LOOK_AHEAD_PAGE = 500  # entries that one look-ahead script goes through
LOOK_AHEAD_PAGES = 200  # pages in one look-ahead: 100,000 unread entries
UNREAD_SECONDS = 2.0  # so old is a scale_down that a replica takes although it is cut off from Kubernetes
BARRED_SECONDS = 0.5  # between two checks whether Kubernetes can be reached again, or the pause has ended
AGAIN_SECONDS = 15.0  # until entries that could not be taken, as one of our keys is broken, are tried again
STALE_SECONDS = 1.0  # past its block, a read whose connection broke on our side alone has ended in Redis too
ROOM_SECONDS = 1.0  # the longest wait for room before it looks ahead again


class Listener(Loop):
    """Reads entries and gives them to the intake."""

    passing = (RedisError,)

    def __init__(
        self,
        reader: StreamReader,
        ledger: Ledger,
        in_hand: InHand,
        intake: Intake,
        reach: Reach,
        pause: Pause,
        peers: Callable[[], int],
        control: Control,
    ) -> None:
        super().__init__(control)
        self._reader = reader
        self._ledger = ledger
        self._in_hand = in_hand
        self._intake = intake
        self._reach = reach
        self._pause = pause
        self._peers = peers  # how many other replicas there are
        self._barred = False  # at the last step, nothing new was to be read: cut off, or in a pause
        self._full = False  # there was no room at the last step
        # Our own pending entries come before new ones. A lost reply or an earlier life may have left some.
        self._own_behind: str | None = "0"
        self._again_at: float | None = None  # when pending entries that could not be taken are tried again
        self._broke = False  # a read failed, and no step has begun since
        self._rereads = 0  # how often reread_own was called
        self._left_by_the_dead = True  # our pending entries: not left by a lost reply
        self._looked_behind = "0-0"  # how far it looked ahead without room, for every scale_down
        self._looked_cut_off = "0-0"  # and while it was cut off, for scale_downs that need no list
        self._looked_for_tasks = "0-0"  # and after a full read, for scale_downs of a task

    def reread_own(self) -> None:
        """Any thread: look through our own pending entries again before reading on."""
        self._rereads += 1
        self._left_by_the_dead = True
        self._own_behind = "0"

    def wait(self) -> None:
        """Wait for what the last step lacked: reach, the end of a pause, or room.

        Beside other replicas, wait so that they get their share. Alone, wait for room for a whole read. With
        that room, return at once: the read waits.
        """
        if self._barred:
            self._stop.wait(BARRED_SECONDS)
        elif self._full:
            self._in_hand.wait_for_room(min(self._reader.poll_seconds, ROOM_SECONDS))
        elif self._peers():
            self._in_hand.wait_for_fewer(SHARED_IN_HAND, SHARE_SECONDS)
        if not self._peers():
            self._in_hand.wait_for_room(GATHER_SECONDS, min(MOST_AT_ONCE, self._in_hand.most))

    def step(self, now: float) -> None:
        """Read once, at most what fits in hand. Without room or in a pause, look ahead once instead.

        While it is cut off from Kubernetes, this replica leaves everything to others. Where only its watch
        is well, it takes scale_downs that nobody reads: all are cut off then, as from creates. Entries in its
        own pending list were read before the pause, so they are taken even during it.
        """
        self._barred = self._reach.cut_off(now)
        if self._barred:
            if self._reach.watching():
                self._looked_cut_off = self._walk_ahead(self._looked_cut_off, needs_no_list, UNREAD_SECONDS)
            return
        if self._broke:  # Redis may still give that read an entry, after our pending entries were read again
            self._broke, self._again_at = False, now + self._reader.poll_seconds + STALE_SECONDS
        if self._again_at is not None and now >= self._again_at and self._own_behind is None:
            self._own_behind, self._left_by_the_dead, self._again_at = "0", False, None
        try:
            room = min(self._in_hand.room(), SHARED_AT_ONCE if self._peers() else MOST_AT_ONCE)
            self._full = room == 0
            self._barred = self._pause.on and self._own_behind is None
            if self._full or self._barred:
                self._looked_behind = self._walk_ahead(self._looked_behind, lambda _: True)
            else:
                self._read_and_accept(room, now)
        except GroupMissing:
            self._make_group()

    def failed(self, error: Exception) -> None:
        """Read our own pending entries next: the entries of a lost reply are among them."""
        self._own_behind, self._left_by_the_dead, self._broke = "0", False, True
        self._reader.failed(reconnects=not isinstance(error, Wiped))
        flood.warning("read_failed", f"the stream cannot be read: {error}")

    def _read_and_accept(self, room: int, now: float) -> None:
        behind = self._own_behind
        entries = self._reader.read(room) if behind is None else self._read_own(room, behind, now)
        if behind is None and len(entries) == room:
            # There may be scale_downs of a task behind them. The scale_ups in front of those had not been
            # read when they came, so they must never run.
            self._looked_for_tasks = self._walk_ahead(self._looked_for_tasks, takes_a_task_away)
        for entry in entries:
            if takes_a_task_away(entry):
                # Carried out before the scale_ups beside it are taken, it would not count their workers.
                accept_ahead(self._intake, entry, carry_out=False)
        for entry, error in self._intake.accept(entries):
            if isinstance(error, Fenced):
                left_alone(entry, "it was taken meanwhile")
            else:  # of a key that this entry needs: the entries behind it may not need that key
                self._leave_pending(entry, error, now)

    def _leave_pending(self, entry: Entry, error: RedisError, now: float) -> None:
        """Try an entry again later. It stays in the pending list, so a stop does not lose it."""
        flood.warning(
            "event_waits",
            f"it stays pending and is tried again: {error}",
            key=str(error),
            event_id=entry.id,
            task_id=raw_task_id(entry.fields or ()),
        )
        self._try_again(now)
        with suppress(RedisError):
            self._ledger.replicas.survived(entry.id)

    def _try_again(self, now: float) -> None:
        if self._again_at is None:
            self._again_at = now + AGAIN_SECONDS

    def _read_own(self, room: int, behind: str, now: float) -> list[Entry]:
        """Read our own pending entries. One that may have killed its reader is read alone."""
        rereads = self._rereads
        count, given_up, start = self._ledger.replicas.next_pending(
            behind, room, left_by_the_dead=self._left_by_the_dead
        )
        for event_id in given_up:
            log.error("event_given_up", KILLED_ITS_READERS, event_id=event_id, task_id=event_id)
        if start != behind:
            flood.warning("event_waits", f"entries up to {start} are to be dead-lettered, and cannot be yet")
            self._try_again(now)
        entries = self._reader.read_own(count, start) if count else []
        if self._rereads == rereads and (entries or not given_up):  # nobody called reread_own meanwhile
            passed_over = start if start != behind else None
            self._own_behind = entries[-1].id if entries else passed_over
        return entries

    def _walk_ahead(self, behind: str, wanted: Callable[[Entry], bool], unread_seconds: float = 0.0) -> str:
        """Take the ``wanted`` scale_downs that nobody has read yet, as long as there is room for them.

        Returns the id behind which to go on. After an error, the next walk starts from ``behind`` again.
        """
        for _ in range(LOOK_AHEAD_PAGES):
            self._progress()
            last, found = self._ledger.scale_downs.look_ahead(
                behind, LOOK_AHEAD_PAGE, unread_seconds=unread_seconds
            )
            for entry in found:
                if self._stop.is_set() or not room_ahead(self._in_hand):
                    return behind
                if wanted(entry):
                    accept_ahead(self._intake, entry)
                behind = entry.id
            if not last:
                return behind
            behind = last
        return behind

    def _make_group(self) -> None:
        try:
            if self._ledger.upkeep.ensure_group():
                log.info("group_created", "the consumer group was missing and has been created")
            self._own_behind, self._looked_behind, self._looked_for_tasks = "0", "0-0", "0-0"
        except RedisError as error:
            flood.warning("read_failed", f"the consumer group cannot be created: {error}")
            self._stop.wait(self.longest_pause)
