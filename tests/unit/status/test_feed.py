"""Snapshots for all viewers: read once, only while somebody looks, and never an end to the stream."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from ottoscaler.errors import RedisUnavailable
from ottoscaler.status import feed as feed_module
from ottoscaler.status.feed import Feed, pause
from tests.harness.waiting import wait_for

SECONDS = 30.0


class Reads:
    """Counts what is read; raises ``error`` where there is one."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    def __call__(self) -> dict[str, Any]:
        self.count += 1
        if self.error is not None:
            raise self.error
        return {"n": self.count}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    monkeypatch.setattr(feed_module, "LEAST_SECONDS", 0.02)
    monkeypatch.setattr(feed_module, "LINGER_SECONDS", 0.0)
    return Reads()


def running() -> bool:
    return any(thread.name == "page" for thread in threading.enumerate())


def test_nothing_is_read_until_somebody_looks_and_after_the_last_has_gone(reads: Reads) -> None:
    feed = Feed(reads)
    assert reads.count == 0
    with feed.watch() as viewer:
        assert viewer.next(SECONDS) is not None
    wait_for(lambda: not running(), "the thread ends", SECONDS)
    count = reads.count
    with feed.watch() as viewer:
        frame = viewer.next(SECONDS)
    assert frame is not None
    assert json.loads(frame)["n"] > count  # not what the viewers before saw last


def test_viewer_who_comes_just_as_the_thread_ends_gets_the_only_other_one(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads would read the same memory of what was seen."""
    wait_for(lambda: not running(), "other tests' threads have ended", SECONDS)
    feed, late, go_on = Feed(reads), ExitStack(), threading.Event()
    wanted = feed._wanted

    def held() -> dict[str, Any]:
        assert go_on.wait(SECONDS)
        return reads()

    def ends() -> bool:
        if wanted():
            return True
        monkeypatch.setattr(feed, "_wanted", wanted)
        monkeypatch.setattr(feed, "_read", held)
        late.enter_context(feed.watch())
        return False

    monkeypatch.setattr(feed, "_wanted", ends)
    with late:
        with feed.watch() as viewer:
            assert viewer.next(SECONDS) is not None
            (first,) = (thread for thread in threading.enumerate() if thread.name == "page")
        first.join(SECONDS)
        with feed.watch():
            assert sum(thread.name == "page" for thread in threading.enumerate()) == 1
        go_on.set()
    wait_for(lambda: not running(), "the thread ends", SECONDS)


def test_viewer_for_whom_no_thread_could_be_started_costs_no_later_one_the_page(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed(reads)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError), feed.watch():
            pass
    with feed.watch() as viewer:
        assert viewer.next(SECONDS) is not None


def test_all_viewers_get_the_same_snapshot(reads: Reads) -> None:
    feed, seen = Feed(reads), dict[int, bytes]()
    with feed.watch() as first, feed.watch() as second:
        for _ in range(5):
            for viewer in (first, second):
                frame = viewer.next(SECONDS)
                assert frame is not None
                assert seen.setdefault(json.loads(frame)["n"], frame) is frame


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RedisUnavailable("connection refused"), "Redis does not answer: connection refused"),
        (KeyError("taken"), "internal error (KeyError)"),
    ],
)
def test_what_cannot_be_read_is_told_and_tried_again(reads: Reads, error: Exception, sentence: str) -> None:
    reads.error = error
    with Feed(reads).watch() as viewer:
        assert json.loads(viewer.next(SECONDS) or b"{}") == {"error": sentence}
        reads.error = None

        def read_again() -> bool:
            return "n" in json.loads(viewer.next(SECONDS) or b"{}")

        wait_for(read_again, "a snapshot comes", SECONDS)


def test_what_is_costly_is_read_less_often() -> None:
    assert pause(0.001) == feed_module.LEAST_SECONDS
    assert pause(0.06) == pytest.approx(0.06 / feed_module.SHARE)
    assert pause(60.0) == feed_module.MOST_SECONDS
