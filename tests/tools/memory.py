"""Redis's memory over many events: the same at the end as near the start.

    python -m tests.tools.memory --events 100000
    python -m tests.tools.memory --events 100000 --behind-open
    python -m tests.tools.memory --events 100000 --behind-open --without-pods

Single-worker events go through one real replica in batches, with a retention of some seconds; after each
batch what Redis holds is printed. Flat means that the second half grew by no more than the noise. With
``--behind-open`` an event that never ends stands before them all; with ``--without-pods`` the ledger's steps
are called one after the other, which takes a minute instead of an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.records import Entry
from ottoscaler.local.redis_server import RedisServer
from ottoscaler.model import ScaleUp, WorkerId
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.cluster_state import FOREVER
from tests.harness.ledger_steps import DONE
from tests.harness.redis_fixture import Book
from tests.harness.replica import SERVICE
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for

RETENTION_SECONDS = 5
BATCHES = 10
BATCH_SECONDS = 900.0  # for one batch to be through
FLAT = 1.2  # the last batch's memory against the second one's: fragmentation moves it a little
STREAM = "otto:scale:events"
FINISHED = f"{STREAM}:ottoscaler:finished"


@dataclass(frozen=True)
class Sample:
    """What Redis holds after so many events have ended and their retention time is over."""

    events: int
    bytes: int
    keys: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.events:8} events  {self.bytes / 1e6:7.2f} MB  {self.keys:5} keys  {self.seconds:6.1f} s"
        )


def _send(place: Sandbox, count: int) -> None:
    env = '{"SIM_RUN_SECONDS": "0", "SIM_START_DELAY": "0"}'
    for _ in range(0, count, 500):
        pipe = place.redis.pipeline(transaction=False)
        for _ in range(min(500, count)):
            pipe.xadd(STREAM, {"type": "scale_up", "pod_count": 1, "env": env})
        pipe.execute()


def _expired(place: Sandbox, open_ones: int) -> bool:
    return place.redis.xlen(STREAM) == open_ones and not place.redis.zcard(FINISHED)


def _sample(redis: Any, events: int, began: float) -> Sample:
    used = int(redis.info("memory")["used_memory"])
    sample = Sample(events, used, int(redis.dbsize()), time.monotonic() - began)
    print(sample, flush=True)
    return sample


def measure(events: int, *, behind_open: bool = False) -> list[Sample]:
    """A sample after each of BATCHES batches. Raises AssertionError where a batch does not get through."""
    samples = []
    settings = {"OTTO_RETENTION_SECONDS": str(RETENTION_SECONDS), "OTTO_MAX_WORKERS": "300"}
    settings |= {"OTTO_LOG_LEVEL": "WARNING", "OTTO_LEASE_SECONDS": "30", "OTTO_MAX_EVENTS_IN_HAND": "300"}
    with sandbox(program=SERVICE, bounds={}, **settings) as place:
        assert place.cluster is not None
        place.start()
        if behind_open:
            place.wait_workers(place.scale_up(1, run_seconds=FOREVER), "Running", 1)
        for batch in range(1, BATCHES + 1):
            began = time.monotonic()
            _send(place, events // BATCHES)
            wait_for(
                lambda: _expired(place, int(behind_open)), f"batch {batch} ends and expires", BATCH_SECONDS
            )
            place.cluster.audit.clear()  # this process keeps a history too
            samples.append(_sample(place.redis, batch * (events // BATCHES), began))
    return samples


def measure_ledger(url: str, events: int, *, behind_open: bool = False) -> list[Sample]:
    """The same by the ledger's steps alone, on a Redis that may be emptied."""
    samples = []
    with _book(url) as book:
        ledger = book.ledger()
        keeper = Housekeeping(ledger, Metrics(), retention=0.0, dead_retention=0.0, logs_total_bytes=65536)
        if behind_open:
            _through(book, ledger, 1, finish=False)
        for batch in range(1, BATCHES + 1):
            began = time.monotonic()
            for _ in range(0, events // BATCHES, 100):
                _through(book, ledger, min(100, events // BATCHES))
            while keeper.step() == 0.0:
                pass
            samples.append(_sample(book.redis, batch * (events // BATCHES), began))
    return samples


@contextmanager
def _book(url: str) -> Iterator[Book]:
    book = Book(url)
    try:
        yield book
    finally:
        book.close()


def _through(book: Book, ledger: Ledger, count: int, *, finish: bool = True) -> None:
    """So many events of one worker each: added, read, taken, run and recorded."""
    pipe = book.redis.pipeline(transaction=False)
    for number in range(count):
        pipe.xadd(STREAM, {"type": "scale_up", "pod_count": 1, "task_id": f"task-{number}"})
    pipe.execute()
    for entry_id, _ in book.redis.xreadgroup("ottoscaler", "a", {STREAM: ">"}, count=count)[0][1]:
        entry = Entry(entry_id, ((b"type", b"scale_up"), (b"pod_count", b"1")))
        ledger.take(ScaleUp(entry_id, entry_id, 1), entry, begin=True)
        worker = WorkerId(entry_id, 0, 0)
        ledger.created(worker, 1, "uid")
        if finish:
            ledger.record(worker, 1, "uid", DONE)


def growth(samples: list[Sample]) -> float:
    """The last batch's memory as a multiple of the second one's."""
    return samples[-1].bytes / samples[1].bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--behind-open", action="store_true")
    parser.add_argument("--without-pods", action="store_true")
    asked = parser.parse_args()
    if asked.without_pods:
        with tempfile.TemporaryDirectory() as directory:
            server = RedisServer(Path(directory), 0)
            server.start()
            samples = measure_ledger(server.url, asked.events, behind_open=asked.behind_open)
            server.stop()
    else:
        samples = measure(asked.events, behind_open=asked.behind_open)
    times = growth(samples)
    print(f"from {samples[1].events} to {samples[-1].events} events: {times:.2f} times the memory")
    return 0 if times <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
