"""Redis's memory over many events: the same at the end as near the start.

    python -m tests.tools.memory --events 100000

Single-worker events go through one real replica in batches, with a retention of some seconds; after each
batch what Redis holds is printed. Flat means that the second half grew by no more than the noise.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from tests.harness.waiting import wait_for
from tests.harness.world import World, world

RETENTION_SECONDS = 5
BATCHES = 10
BATCH_SECONDS = 900.0  # for one batch to be through
FLAT = 1.2  # the last batch's memory against the second one's: fragmentation moves it a little
STREAM = "otto:scale:events"


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


def _send(place: World, count: int) -> None:
    env = '{"SIM_RUN_SECONDS": "0", "SIM_START_DELAY": "0"}'
    for _ in range(0, count, 500):
        pipe = place.redis.pipeline(transaction=False)
        for _ in range(min(500, count)):
            pipe.xadd(STREAM, {"type": "scale_up", "pod_count": 1, "env": env})
        pipe.execute()


def _expired(place: World) -> bool:
    return not place.redis.xlen(STREAM) and not place.redis.zcard(f"{STREAM}:ottoscaler:finished")


def measure(events: int) -> list[Sample]:
    """A sample after each of BATCHES batches. Raises AssertionError where a batch does not get through."""
    samples = []
    settings = {"OTTO_RETENTION_SECONDS": str(RETENTION_SECONDS), "OTTO_MAX_WORKERS": "300"}
    settings |= {"OTTO_LOG_LEVEL": "WARNING", "OTTO_LEASE_SECONDS": "30", "OTTO_MAX_EVENTS_IN_HAND": "300"}
    with world(**settings) as place:
        assert place.cluster is not None
        place.start()
        for batch in range(1, BATCHES + 1):
            began = time.monotonic()
            _send(place, events // BATCHES)
            wait_for(lambda: _expired(place), f"batch {batch} ends and expires", BATCH_SECONDS)
            place.cluster.audit.clear()  # this process keeps a history too
            used = int(place.redis.info("memory")["used_memory"])
            sample = Sample(
                batch * (events // BATCHES), used, int(place.redis.dbsize()), time.monotonic() - began
            )
            samples.append(sample)
            print(sample, flush=True)
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    samples = measure(parser.parse_args().events)
    growth = samples[-1].bytes / samples[1].bytes
    print(f"from {samples[1].events} to {samples[-1].events} events: {growth:.2f} times the memory")
    return 0 if growth <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
