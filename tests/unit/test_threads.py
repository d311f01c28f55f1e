"""The loop that all long-lived threads share: its step, its pauses, and what ends it."""

from __future__ import annotations

import threading

import pytest

from ottoscaler.errors import InstanceChanged, LiveTwin, Stopping, UnusableCluster
from ottoscaler.threads import Control, Loop, Mailbox, Threads


class Rounds(Loop):
    """A loop that notes its steps and pauses, fails as told, and stops itself."""

    passing = (KeyError,)
    first_pause = 1.0
    longest_pause = 3.0

    def __init__(self, errors: list[Exception | None]) -> None:
        self.stopping = threading.Event()
        super().__init__(Control(self.stopping, self.note_beat))
        self.errors = errors
        self.beats = 0
        self.told: list[Exception] = []
        self.pauses: list[float] = []

    def note_beat(self) -> None:
        self.beats += 1

    def step(self, now: float) -> None:
        error = self.errors.pop(0) if self.errors else None
        if not self.errors:
            self.stopping.set()
        if error is not None:
            raise error

    def failed(self, error: Exception) -> None:
        self.told.append(error)

    def pause(self, seconds: float) -> float:
        self.pauses.append(seconds)
        return 0.0


def test_error_that_passes_is_told_and_the_pause_doubles_up_to_its_bound() -> None:
    loop = Rounds([KeyError(), KeyError(), KeyError(), KeyError(), None])
    loop.run()
    assert loop.pauses == [1.0, 2.0, 3.0, 3.0]
    assert len(loop.told) == 4


def test_good_step_starts_the_pauses_anew() -> None:
    loop = Rounds([KeyError(), KeyError(), None, KeyError(), None])
    loop.run()
    assert loop.pauses == [1.0, 2.0, 1.0]


def test_every_round_says_that_the_thread_gets_on() -> None:
    loop = Rounds([None, KeyError(), None])
    loop.run()
    assert loop.beats == 3


def test_any_other_error_ends_the_thread() -> None:
    with pytest.raises(ValueError, match="of our own"):
        Rounds([None, ValueError("of our own"), None]).run()


def test_error_while_stopping_is_not_told() -> None:
    loop = Rounds([KeyError()])
    loop.run()
    assert (loop.told, loop.pauses) == ([], [])


@pytest.mark.parametrize(
    ("error", "code"),
    [(LiveTwin(), 2), (UnusableCluster(), 2), (InstanceChanged(), 2), (ValueError(), 1), (Stopping(), None)],
    ids=lambda value: type(value).__name__,
)
def test_exit_code_of_a_thread_that_dies_says_whether_to_start_again(
    error: Exception, code: int | None
) -> None:
    codes: list[int] = []

    def work() -> None:
        raise error

    threads = Threads(codes.append)
    threads.start("lease", work)
    assert not threads.join("lease", seconds=30)
    assert codes == [code] * (code is not None)


def test_mailbox_drops_the_oldest_above_its_bound() -> None:
    box: Mailbox[int] = Mailbox(2)
    for number in (1, 2, 3):
        box.put(number)
    assert [box.take(), box.take(), box.take()] == [2, 3, None]


def test_mailbox_wait_ends_at_once_where_something_was_left() -> None:
    box: Mailbox[int] = Mailbox(2)
    box.put(1)
    box.wait(60)
    box.wake()
    box.wait(60)
