"""When a stream is read at once, and when what comes is gathered first. Time is handed in."""

from __future__ import annotations

from ottoscaler.kube.gathering import GATHER_SECONDS, SHORT_WAITS, GatheringSocket


class Stream:
    """Stands for a socket: each read waits for ``gap`` seconds."""

    def __init__(self, gap: float) -> None:
        self.gap = gap
        self.now = 0.0
        self.slept: list[float] = []
        self.socket = GatheringSocket(self, lambda: self.now, self.sleep)

    def recv(self, size: int) -> bytes:
        self.now += self.gap
        return b"x" * size

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def read(self, times: int) -> None:
        for _ in range(times):
            assert self.socket.recv(3) == b"xxx"


def test_busy_stream_is_gathered_until_it_is_quiet() -> None:
    stream = Stream(GATHER_SECONDS / 10)
    stream.read(SHORT_WAITS)
    assert stream.slept == []
    stream.read(2)
    assert stream.slept == [GATHER_SECONDS, GATHER_SECONDS]
    stream.gap = GATHER_SECONDS
    stream.read(1)
    del stream.slept[:]
    stream.gap = 0.0
    stream.read(SHORT_WAITS)
    assert stream.slept == []


def test_event_on_a_quiet_stream_is_read_at_once() -> None:
    stream = Stream(GATHER_SECONDS)
    stream.read(10 * SHORT_WAITS)
    assert stream.slept == []
