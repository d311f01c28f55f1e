"""What looking at the status page costs a replica: CPU with nobody, one and twenty viewers.

    .venv/bin/python -m tests.tools.page_load                  # 5,000 workers in flight at one replica
    .venv/bin/python -m tests.tools.page_load --workers 100 --seconds 20

One replica with that many simulated workers running; then its CPU a second (user and system, by the kernel)
over the same time without a viewer, with one and with twenty, in turns. Redis's CPU stands beside it. Printed
is the median of the rounds: what viewing costs is the difference to nobody. Alone on the machine, please.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import threading
import time

from tests.harness.replica import SERVICE, Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for

EVENTS = 50
VIEWERS = (0, 1, 20)
SETTLE_SECONDS = 4.0  # after viewers come or go, until the replicas tell of Pods or stop to
START_SECONDS = 240.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Viewer:
    """Reads the stream as a browser does, and comes again where it ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.bytes = self.frames = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            connection.request("GET", "/api/stream", headers={"Host": "localhost"})
            answer = connection.getresponse()
            while not self._stop.is_set() and (line := answer.readline()):
                self.bytes += len(line)
                self.frames += line.startswith(b"data: {")
            connection.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(15)


def measured(
    replica: Replica, redis_pid: int, viewers: int, seconds: float
) -> tuple[float, float, float, float]:
    """Shares of a core of the replica and of Redis; frames a second of one viewer, and kilobytes a frame."""
    watching = [Viewer(replica.port) for _ in range(viewers)]
    time.sleep(SETTLE_SECONDS)
    before = cpu(replica.pid), cpu(redis_pid)
    frames, size = (sum(v.frames for v in watching), sum(v.bytes for v in watching))
    begun = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begun
    after = cpu(replica.pid), cpu(redis_pid)
    frames, size = sum(v.frames for v in watching) - frames, sum(v.bytes for v in watching) - size
    for viewer in watching:
        viewer.stop()
    shares = [(late - early) / took for early, late in zip(before, after, strict=True)]
    return shares[0], shares[1], frames / took / max(1, viewers), size / max(1, frames) / 1000


def fill(place: Sandbox, replica: Replica, workers: int) -> None:
    for number in range(EVENTS):
        place.scale_up(workers // EVENTS, run_seconds="inf", task_id=f"load-{number}")
    wait_for(
        lambda: replica.metric("ottoscaler_workers") >= workers // EVENTS * EVENTS, "all run", START_SECONDS
    )
    time.sleep(SETTLE_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with sandbox(
        program=SERVICE,
        OTTO_MAX_WORKERS=str(options.workers),
        OTTO_LOG_LEVEL="WARNING",
        OTTO_LEASE_SECONDS="30",
    ) as place:
        replica = place.start()
        redis_pid = int(place.redis.info("server")["process_id"])
        fill(place, replica, options.workers)
        found: dict[int, list[tuple[float, float, float, float]]] = {viewers: [] for viewers in VIEWERS}
        for _ in range(options.rounds):
            for viewers, rounds in found.items():
                rounds.append(measured(replica, redis_pid, viewers, options.seconds))
        nobody = [statistics.median(each) for each in zip(*found[0], strict=True)]
        print(f"{options.workers} workers in flight, {os.cpu_count()} cores, {uname()}")
        print("viewers  replica, of a core  for viewing  Redis  for viewing  frames/s  kB a frame")
        for viewers, rounds in found.items():
            own, redis, frames, size = (statistics.median(each) for each in zip(*rounds, strict=True))
            print(
                f"{viewers:7d}  {own:17.2%}  {own - nobody[0]:11.2%}  {redis:5.2%}  {redis - nobody[1]:11.2%}"
                f"  {frames:8.2f}  {size:10.1f}"
            )


def uname() -> str:
    return subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
