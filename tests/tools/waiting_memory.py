"""A replica's memory while large events wait for retries, with the settings' defaults.

    python -m tests.tools.waiting_memory --events 1500

Each worker ends as if its node were lost, again and again, so its event waits longer and longer. The replica
is watched for SECONDS; the program ends with 1 where its memory went over MOST_MIB meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.harness.sandbox import Replica, sandbox

MOST_MIB = 250.0
BYTES = 60_000
SECONDS = 120.0  # for the replica to be watched
STREAM, GROUP = "otto:scale:events", "ottoscaler"
ENV = {"SIM_RUN_SECONDS": "0", "SIM_START_DELAY": "0", "SIM_EXIT_CODE": "137"}
ENV |= {"SIM_REASON": "ContainerStatusUnknown"}


def _mib(replica: Replica, name: str) -> float:
    status = Path(f"/proc/{replica.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def measure(events: int, seconds: float) -> float:
    """The replica's peak in MiB after so many seconds, each ten of which a line is printed for."""
    with sandbox(OTTO_LOG_LEVEL="WARNING") as place:
        pipe = place.redis.pipeline(transaction=False)
        notes = {f"m{i}": "x" * (BYTES // 30) for i in range(30)}
        for _ in range(events):
            fields = {"type": "scale_up", "pod_count": 1, "max_retries": 10, "env": json.dumps(ENV), **notes}
            pipe.xadd(STREAM, fields)
        pipe.execute()
        replica, began = place.start(), time.monotonic()
        while (past := time.monotonic() - began) < seconds:
            time.sleep(min(10.0, seconds - past))
            rss, peak = _mib(replica, "VmRSS"), _mib(replica, "VmHWM")
            print(
                f"{time.monotonic() - began:5.0f} s  {place.pending()} of {events} read  "
                f"VmRSS {rss:.0f} MiB  VmHWM {peak:.0f} MiB  dead letters {len(place.dead())}",
                flush=True,
            )
        return _mib(replica, "VmHWM")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    peak = measure(asked.events, asked.seconds)
    print(f"peak {peak:.0f} MiB of {MOST_MIB:.0f} allowed")
    return 0 if peak < MOST_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
