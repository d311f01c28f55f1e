"""A replica's memory while large events wait for retries, with the settings' defaults.

    python -m tests.tools.waiting_memory --events 1500 --seconds 240

Each worker ends as if its node were lost, again and again, so its event waits longer and longer. The events'
bytes are random, so that nothing compresses them much. The replica is watched for SECONDS; the program ends
with 1 where its memory went over MOST_MIB meanwhile, or where it still grew in the second half.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import sys
import time
from pathlib import Path

from tests.harness.replica import SERVICE, Replica
from tests.harness.sandbox import sandbox

MOST_MIB = 250.0
FLAT_MIB = 8.0  # of growth from the first half's most to the second half's
BYTES = 60_000
SECONDS = 240.0  # for the replica to be watched
LOOK_SECONDS = 10.0
STREAM, GROUP = "otto:scale:events", "ottoscaler"
ENV = {"SIM_RUN_SECONDS": "0", "SIM_START_DELAY": "0", "SIM_EXIT_CODE": "137"}
ENV |= {"SIM_REASON": "ContainerStatusUnknown"}


def _mib(replica: Replica, name: str) -> float:
    status = Path(f"/proc/{replica.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def _notes(rng: random.Random) -> dict[str, str]:
    letters = string.ascii_letters + string.digits + "-_"
    return {f"m{i}": "".join(rng.choices(letters, k=BYTES // 30)) for i in range(30)}


def measure(events: int, seconds: float) -> tuple[float, list[float]]:
    """The replica's peak in MiB after so many seconds, and its memory at each look on the way."""
    rng, looks = random.Random(events), []
    with sandbox(program=SERVICE, OTTO_LOG_LEVEL="WARNING") as place:
        for _ in range(events):
            fields = {"type": "scale_up", "pod_count": 1, "max_retries": 10, "env": json.dumps(ENV)}
            place.redis.xadd(STREAM, {**fields, **_notes(rng)})
        replica, began = place.start(), time.monotonic()
        while (past := time.monotonic() - began) < seconds:
            time.sleep(min(LOOK_SECONDS, seconds - past))
            looks.append(_mib(replica, "VmRSS"))
            print(
                f"{time.monotonic() - began:5.0f} s  {place.pending()} of {events} read  "
                f"VmRSS {looks[-1]:.0f} MiB  VmHWM {_mib(replica, 'VmHWM'):.0f} MiB  "
                f"dead letters {len(place.dead())}",
                flush=True,
            )
        return _mib(replica, "VmHWM"), looks


def growth(looks: list[float]) -> float:
    """MiB by which the second half's most is over the first half's."""
    middle = len(looks) // 2
    return max(looks[middle:]) - max(looks[:middle])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    peak, looks = measure(asked.events, asked.seconds)
    grown = growth(looks)
    flat = "flat" if grown < FLAT_MIB else "not flat"
    print(f"peak {peak:.0f} MiB of {MOST_MIB:.0f} allowed; {flat}: {grown:+.1f} MiB in the second half")
    return 0 if peak < MOST_MIB and grown < FLAT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
