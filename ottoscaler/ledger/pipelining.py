"""Sends several threads' commands in one round trip, in the order in which they came, over one connection.

A thread that sends its own command and waits for the answer releases the interpreter five times. In a burst,
it then competes with dozens of other threads to get it back. Measured, that made a call of 30 microseconds
take 180 (docs/adr/0006). So the first thread to come sends the commands of all threads that wait by then. A
lone caller waits for nobody, and no thread serves others for longer than one round trip.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

MOST_IN_ONE = 64  # commands in one round trip
NONE_YET = object()


class FirstWords:
    """The first words of a command, packed once. Two thirds of a script call's words never change."""

    __slots__ = ("count", "data")

    def __init__(self, *words: str | bytes | int) -> None:
        self.count = len(words)
        self.data = _packed_words(words)


Words = Sequence[str | bytes | int]


def packed(words: Words, first: FirstWords | None = None) -> bytes:
    """A command in Redis's protocol; ``words`` follow the ``first`` ones.

    redis-py takes three times as long for the same bytes, which was 5 % of a worker's CPU (docs/adr/0006)."""
    if first is None:
        return b"*%d\r\n%b" % (len(words), _packed_words(words))
    return b"*%d\r\n%b%b" % (first.count + len(words), first.data, _packed_words(words))


def _packed_words(words: Words) -> bytes:
    parts = []
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode(errors="replace")
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


class Overdue(OSError):
    """The command's turn did not come within ``wait_seconds``, so it was never sent."""


class Call:
    """One packed command and its result. The exchange sets ``answer`` or ``error``.

    With ``commands``, the data is so many commands, and ``answer`` lists their answers and errors. The
    exchange calls ``meanwhile`` of its first call, which is its thread's own, once all has been sent."""

    __slots__ = ("answer", "appointed", "commands", "data", "error", "meanwhile", "over", "turn")

    def __init__(
        self, data: bytes, commands: int | None = None, meanwhile: Callable[[], None] | None = None
    ) -> None:
        self.data = data
        self.commands = commands
        self.meanwhile = meanwhile
        self.answer: Any = NONE_YET
        self.error: BaseException | None = None
        self.over = False
        self.appointed = False  # to lead the next round trip
        self.turn = threading.Lock()  # released when the call is over, or when its thread is to lead
        self.turn.acquire()


class RoundTrips:
    """Gathers the commands of several threads into round trips. Thread-safe.

    ``exchange`` sends the calls that it is given, once, and sets each call's answer or error. If it raises,
    that is the error of every call that has neither. Only one thread at a time calls it.
    """

    def __init__(self, exchange: Callable[[Sequence[Call]], None], *, wait_seconds: float) -> None:
        self._exchange = exchange
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._queue: deque[Call] = deque()
        self._led = False  # somebody sends, or has been appointed to

    def send(
        self, data: bytes, commands: int | None = None, meanwhile: Callable[[], None] | None = None
    ) -> Any:
        """A packed command's answer. Raises Overdue if it was never sent, and what the exchange raised.

        With ``commands``, ``data`` is so many commands. Then a list of their answers is returned, in which a
        refusal by Redis is an exception. ``meanwhile`` is called while Redis works on the command, so it must
        not wait. It is not called if another thread leads the round trip."""
        call = Call(data, commands, meanwhile)
        with self._lock:
            self._queue.append(call)
            leads = not self._led
            self._led = True
        if leads or self._follow(call):
            self._lead(call)
        if call.error is not None:
            raise call.error
        return call.answer

    def when_idle(self, act: Callable[[], None]) -> None:
        """Call ``act`` if no round trip is under way. None begins meanwhile, so ``act`` must not wait."""
        with self._lock:
            if not self._led:
                act()

    def _follow(self, call: Call) -> bool:
        """Wait until the call is over. Returns True if this thread is to lead the next round trip instead."""
        if not call.turn.acquire(timeout=self._wait_seconds):
            with self._lock:
                if call in self._queue and not call.appointed:
                    self._queue.remove(call)
                    raise Overdue(f"{len(self._queue)} commands wait for their turn")
            call.turn.acquire()  # it has just been sent, and the exchange bounds its own waits
        return not call.over

    def _lead(self, own: Call) -> None:
        with self._lock:
            calls = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_IN_ONE))]
        failure: BaseException | None = None
        try:
            self._exchange(calls)
        except BaseException as error:  # noqa: BLE001 - raised in every thread that it concerns
            failure = error
        for call in calls:
            if failure is not None and call.answer is NONE_YET and call.error is None:
                call.error = failure if call is own else copy.copy(failure)
        self._pass_on()
        for call in calls:
            call.over = True
            if call is not own:
                call.turn.release()
        if failure is not None and not isinstance(failure, Exception):
            raise failure  # a signal's, as of Ctrl-C: it may come when all answers are there

    def _pass_on(self) -> None:
        with self._lock:
            if self._queue:
                following = self._queue[0]
                following.appointed = True
                following.turn.release()
            else:
                self._led = False
