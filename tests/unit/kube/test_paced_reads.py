"""When a paced connection is read, and how much of it at once."""

from __future__ import annotations

import ssl
from types import SimpleNamespace

import pytest

from ottoscaler.kube.paced_reads import MOST_BYTES, PAUSE_SECONDS, READS_AHEAD, Pace, PacedReads

NOW = 1000.0
SIZE = 65536
AT_ONCE = [0.0] * READS_AHEAD


def test_lone_worker_s_reads_never_wait() -> None:
    pace = Pace()
    assert [pace.wait(NOW) for _ in range(READS_AHEAD)] == AT_ONCE


def test_busy_connection_is_read_once_a_pause() -> None:
    pace = Pace()
    for _ in range(READS_AHEAD):
        pace.wait(NOW)
    now = NOW
    for _ in range(3):
        assert pace.wait(now) == pytest.approx(PAUSE_SECONDS)
        now += PAUSE_SECONDS  # it waits, and reads in no time


def test_reads_that_come_no_faster_than_the_pause_do_not_wait() -> None:
    pace = Pace()
    for step in range(5 * READS_AHEAD):
        assert pace.wait(NOW + step * PAUSE_SECONDS) == pytest.approx(0.0, abs=1e-6)


def test_quiet_time_lets_as_many_reads_go_ahead_as_at_first_and_no_more() -> None:
    pace = Pace()
    for _ in range(READS_AHEAD + 1):
        pace.wait(NOW)
    later = NOW + 3600.0
    waits = [pace.wait(later) for _ in range(READS_AHEAD + 1)]
    assert waits[:READS_AHEAD] == AT_ONCE
    assert waits[READS_AHEAD] == pytest.approx(PAUSE_SECONDS)


class Network:
    """A socket on which ``parts`` come, one with each read. ``pauses`` are the waits between reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[bytes] = []
        self.pauses: list[float] = []
        self.timeout: float | None = 30.0
        clock = SimpleNamespace(sleep=self.pauses.append, monotonic=lambda: NOW)
        monkeypatch.setattr("ottoscaler.kube.paced_reads.time", clock)

    def gettimeout(self) -> float | None:
        return self.timeout

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def recv(self, size: int) -> bytes:
        if self.parts:
            return self.parts.pop(0)
        assert self.timeout == 0.0, "nothing would come"
        raise ssl.SSLWantReadError

    def busy(self, *, tls: bool) -> PacedReads:
        """Reads that have used up what they may do ahead."""
        reads = PacedReads(self, tls=tls)
        for _ in range(READS_AHEAD):
            self.parts.append(b".")
            assert reads.recv(SIZE) == b"."
        assert self.pauses == []
        return reads


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def test_busy_connection_is_read_after_a_pause(network: Network) -> None:
    reads = network.busy(tls=False)
    network.parts = [b"several", b"later"]
    assert reads.recv(SIZE) == b"several"
    assert len(network.pauses) == 1
    assert reads.recv(SIZE) == b"later"
    assert len(network.pauses) == 2


def test_full_read_is_followed_by_another_without_a_pause(network: Network) -> None:
    reads = network.busy(tls=False)
    network.parts = [b"1234", b"5678", b"9"]
    assert [reads.recv(4) for _ in range(3)] == [b"1234", b"5678", b"9"]
    assert len(network.pauses) == 1


def test_all_tls_records_that_have_come_are_read_after_one_pause(network: Network) -> None:
    reads = network.busy(tls=True)
    network.parts = [b"one", b"two", b"three"]
    assert reads.recv(SIZE) == b"onetwothree"
    assert len(network.pauses) == 1
    assert network.timeout == 30.0


def test_end_of_a_busy_tls_connection_is_told_after_what_came_before_it(network: Network) -> None:
    reads = network.busy(tls=True)
    network.parts = [b"last", b"", b""]
    assert reads.recv(SIZE) == b"last"
    assert reads.recv(SIZE) == b""


def test_flood_of_tls_records_is_handed_on_in_bounded_parts_without_a_pause(network: Network) -> None:
    reads = network.busy(tls=True)
    network.parts = [b"x" * MOST_BYTES, b"x" * MOST_BYTES, b"y"]
    assert [len(reads.recv(SIZE)) for _ in range(3)] == [MOST_BYTES, MOST_BYTES, 1]
    assert len(network.pauses) == 1
