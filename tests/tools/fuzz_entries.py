"""Entries of every size and shape, against one replica with the default settings in a memory cgroup.

    python -m tests.tools.fuzz_entries --seconds 60 --seed 7 --largest 150

Some entries in a hundred are larger than 4 MiB, up to so many MiB. Redis keeps none of them longer than it is
pending, or the machine's memory would end before the run does. A reader of the status page looks at all that
it tells meanwhile.

Needs root and the memory controller of cgroup v1 or v2. Passes where the replica outlives the run, has read
all that was sent, and never used the whole of its 300 MiB.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from tests.harness.replica import SERVICE, Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.waiting import wait_for

MOST_BYTES = 300 << 20
STREAM, GROUP = "otto:scale:events", "ottoscaler"
BACKLOG = 300  # unread entries, past which the fuzzer waits
LARGE_BYTES = 4 << 20
LARGE_SHARE = 0.04  # of the entries
MOST_FIELDS = 100_000  # of an entry: for more, an XADD alone holds Redis for seconds
MOST_LARGE = 4  # in Redis at one time: what the listener reads at once
END_SECONDS = 120.0  # for what was sent to be through
ROOT = Path("/sys/fs/cgroup")
JOIN = (
    "import runpy, sys; open({procs!r}, 'w').write('0'); sys.argv = ['ottoscaler']; "
    "runpy.run_module('ottoscaler', run_name='__main__')"
)


class MemoryCgroup:
    """A memory cgroup of its own, of either version. Raises OSError where there is none to be had."""

    def __init__(self, name: str, most_bytes: int) -> None:
        old = (ROOT / "memory").is_dir()
        self._path = (ROOT / "memory" if old else ROOT) / name
        self._path.mkdir(exist_ok=True)
        limit, self._peak = (
            ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if old else ("memory.max", "memory.peak")
        )
        (self._path / limit).write_text(str(most_bytes))
        self.program = ("-c", JOIN.format(procs=str(self._path / "cgroup.procs")))

    def peak_bytes(self) -> int:
        """The most that was ever in use."""
        return int((self._path / self._peak).read_text())

    def close(self) -> None:
        """Remove it, once its processes have ended; the kernel takes a moment to see that."""

        def removed() -> bool:
            try:
                self._path.rmdir()
            except OSError:
                return False
            return True

        wait_for(removed, "the cgroup is empty")


def large_words(rng: random.Random, largest: int) -> list[bytes]:
    """One entry's fields, flat, of some 4 MiB to ``largest`` bytes: in one string, or in many."""
    size = int(LARGE_BYTES * (largest / LARGE_BYTES) ** rng.random())
    text = rng.choice([b"x", b"\x01", "\U0001f600".encode(), b"\xff"])
    flat = [b"type", b"scale_up", b"pod_count", b"1"]
    shape = rng.randrange(4)
    if shape == 0:
        return [*flat, b"note", text * (size // len(text))]
    if shape == 1:
        return [text * (size // len(text)), b"", *flat]
    each = 2 ** rng.randrange(0, 20)
    many = min(size // (each + 16), MOST_FIELDS)
    pairs = [word for n in range(many) for word in (b"meta:%d" % n, text * (each // len(text)))]
    return flat + pairs if shape == 2 else pairs + flat


def dense_words(rng: random.Random) -> list[bytes]:
    """A valid event of nearly OTTO_MAX_EVENT_BYTES, made of as many small parts as it can be, and whose
    worker runs until others need its slot."""
    flat = [b"type", b"scale_up", b"pod_count", b"1", b"timeout_seconds", b"5"]
    shape = rng.randrange(3)
    if shape == 0:
        env = {"SIM_RUN_SECONDS": "inf", **{f"A{n:x}": "" for n in range(5800)}}
        return [*flat, b"env", json.dumps(env, separators=(",", ":")).encode()]
    flat += [b"env", b'{"SIM_RUN_SECONDS":"inf"}']
    if shape == 1:
        return [*flat, b"args", json.dumps(["a"] * 16_000, separators=(",", ":")).encode()]
    return flat + [word for n in range(7200) for word in (b"meta:%x" % n, b"")]


def words(rng: random.Random) -> list[bytes]:
    """One entry's fields, flat: valid, nearly valid, or large in some way."""
    text = rng.choice([b"x", b"\x01", b'"', b"\\", "é".encode(), "\U0001f600".encode(), b"\xff", b"[", b"{"])
    size = int(2 ** rng.uniform(0, rng.choice([10, 16, 16, 20, 22])))
    many = int(2 ** rng.uniform(0, 15))
    kind = rng.choice([b"scale_up", b"scale_up", b"scale_up", b"scale_down", b"", b"scale"])
    flat = [b"type", kind, b"pod_count", str(rng.choice([0, 1, 1, 2, 5, 1001])).encode()]
    if kind == b"scale_down" or rng.random() < 0.3:
        flat += [b"task_id", b"t%d" % rng.randrange(20)]
    large = text * (size // len(text) + 1)
    shape = rng.randrange(8)
    if shape == 0:
        flat += [rng.choice([b"note", b"meta:a", b"command", b"args", b"image", b"profile"]), large]
    elif shape == 1:
        flat += [large, b""]
    elif shape == 2:
        for number in range(many):
            flat += [b"meta:%d" % number, text]
    elif shape == 3:
        flat += [b"env", json.dumps({f"A{n}": "1" for n in range(many)}).encode()]
    elif shape == 4:
        flat += [b"env", b'{"A":' * many + b"1" + b"}" * many]
    elif shape == 5:
        flat += [b"args", json.dumps(["a"] * many).encode()]
    elif shape == 6:
        flat += [b"note", b"\x01" * rng.randrange(10_500)]
    return flat if rng.random() < 0.95 else [large, large]


def _unread(held: Any) -> int:
    lag = held.xinfo_groups(STREAM)[0].get("lag")
    return int(lag or 0)


class Fuzzer:
    """Sends entries as fast as they are read."""

    def __init__(self, place: Sandbox, replica: Replica, seed: int, largest: int, dense: float) -> None:
        self._dense = dense
        self._replica = replica
        self._rng = random.Random(seed)
        self._largest = largest
        self._held: Any = redis.Redis(port=place.redis_server.port, socket_timeout=60)
        self._large: list[bytes] = []  # that are in the stream
        self._last = b""
        self.sent = 0
        self.views = 0  # answers that a reader of the status page got
        self.sent_large = 0

    def run(self, seconds: float) -> None:
        """Send for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._check_alive()
            if self._largest > LARGE_BYTES and self._rng.random() < LARGE_SHARE:
                self._send_large()
            elif self._rng.random() < self._dense:
                self._last = self._held.execute_command("XADD", STREAM, "*", *dense_words(self._rng))
            else:
                self._last = self._held.execute_command("XADD", STREAM, "*", *words(self._rng))
            self.sent += 1
            if self.sent % 20 == 0 and _unread(self._held) > BACKLOG:
                time.sleep(0.5)

    def finish(self) -> None:
        """Wait until all is read."""
        wait_for(lambda: _unread(self._held) == 0, "everything is read", END_SECONDS)
        wait_for(self._room_for_large, "the large entries are through", END_SECONDS)
        self._held.close()

    def _send_large(self) -> None:
        flat = large_words(self._rng, self._largest)
        self._large.append(self._held.execute_command("XADD", STREAM, "*", *flat))
        self.sent_large += 1
        wait_for(self._room_for_large, "a large entry is read", END_SECONDS)

    def _room_for_large(self) -> bool:
        """Delete those that are acknowledged."""
        self._check_alive()
        read = self._held.xinfo_groups(STREAM)[0]["last-delivered-id"]
        for entry_id in [i for i in self._large if _order(i) <= _order(read)]:
            if not self._held.xpending_range(STREAM, GROUP, entry_id, entry_id, 1):
                self._held.xdel(STREAM, entry_id)
                self._large.remove(entry_id)
        return len(self._large) < MOST_LARGE

    def view(self, stop: threading.Event) -> None:
        """A thread's: look at all that the status page tells, again and again, and watch its feed."""
        watching = threading.Thread(target=self._watch_feed, args=(stop,), daemon=True)
        watching.start()
        while not stop.wait(0.1):
            ids = [entry_id for entry_id in [*self._large[-1:], self._last] if entry_id]
            looks = [f"/api/{what}={i.decode()}" for i in ids for what in ("event?id", "search?q")]
            for path in ("/api/status", "/api/search?q=t", "/metrics", *looks):
                self.views += self._replica.get(path)[0] == 200
        watching.join(10)

    def _watch_feed(self, stop: threading.Event) -> None:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self._replica.port}/api/stream", timeout=30) as feed,
        ):
            while not stop.is_set() and feed.read1(65536):
                self.views += 1

    def _check_alive(self) -> None:
        died = self._replica.process.poll() is not None
        assert not died, f"it died after {self.sent} entries:\n{self._replica.log()[-3000:]}"


def _order(entry_id: bytes) -> tuple[int, int]:
    time_ms, _, number = entry_id.partition(b"-")
    return int(time_ms), int(number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--largest", type=int, default=150, help="MiB")
    parser.add_argument("--dense", type=float, default=0.1, help="share of events of many small parts")
    asked = parser.parse_args()
    cgroup = MemoryCgroup(f"ottoscaler-fuzz-{asked.seed}", MOST_BYTES)
    with sandbox(program=SERVICE, OTTO_LOG_LEVEL="INFO", OTTO_LEASE_SECONDS="30") as place:
        replica = place.start(program=cgroup.program)
        place.redis.config_set("lua-time-limit", 60_000)  # on a busy machine, it would turn us away
        fuzzer = Fuzzer(place, replica, asked.seed, asked.largest << 20, asked.dense)
        stop = threading.Event()
        viewer = threading.Thread(target=fuzzer.view, args=(stop,), daemon=True)
        viewer.start()
        fuzzer.run(asked.seconds)
        fuzzer.finish()
        stop.set()
        viewer.join(60)
        alive = replica.process.poll() is None
    peak = cgroup.peak_bytes()
    cgroup.close()
    print(
        f"seed {asked.seed}: {fuzzer.sent} entries, {fuzzer.sent_large} of them larger than "
        f"{LARGE_BYTES >> 20} MiB, and {fuzzer.views} looks at the status page: "
        f"at most {peak >> 20} MiB, replica alive: {alive}"
    )
    return 0 if alive and peak < MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
