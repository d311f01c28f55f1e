"""Entries of every size and shape, against one replica with the default settings in a memory cgroup.

    python -m tests.tools.fuzz_entries --seconds 60 --seed 7

Needs root and the memory controller of cgroup v1 or v2. Passes where the replica outlives the run, has read
all that was sent, and never used the whole of its 300 MiB.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import redis

from tests.harness.sandbox import Replica, Sandbox, sandbox
from tests.harness.waiting import wait_for

MOST_BYTES = 300 << 20
STREAM = "otto:scale:events"
BACKLOG = 300  # unread entries, past which the fuzzer waits
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


def fuzz(place: Sandbox, replica: Replica, seconds: float, seed: int) -> list[str]:
    """Send for so long, and as fast as is read; the ids."""
    rng = random.Random(seed)
    ids: list[str] = []
    held: Any = redis.Redis(port=place.redis_server.port, socket_timeout=60)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert replica.process.poll() is None, f"it died after {len(ids)} entries:\n{replica.log()[-3000:]}"
        ids.append(held.execute_command("XADD", STREAM, "*", *words(rng)).decode())
        if len(ids) % 20 == 0 and _unread(held) > BACKLOG:
            time.sleep(0.5)
    held.close()
    return ids


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    cgroup = MemoryCgroup(f"ottoscaler-fuzz-{asked.seed}", MOST_BYTES)
    with sandbox(OTTO_LOG_LEVEL="INFO", OTTO_LEASE_SECONDS="30") as place:
        replica = place.start(program=cgroup.program)
        ids = fuzz(place, replica, asked.seconds, asked.seed)
        held: Any = redis.Redis(port=place.redis_server.port, socket_timeout=60)
        wait_for(lambda: _unread(held) == 0, "everything is read", END_SECONDS)
        held.close()
        alive = replica.process.poll() is None
    peak = cgroup.peak_bytes()
    cgroup.close()
    print(f"seed {asked.seed}: {len(ids)} entries, at most {peak >> 20} MiB, replica alive: {alive}")
    return 0 if alive and peak < MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
