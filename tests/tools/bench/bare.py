"""The ceiling: a load generator that does only what must be done for a Pod, and as cheaply as Python can.

    python -m tests.tools.bench.bare --namespace NS --count 1000 --run-seconds 1

Create the Pods (the very bodies that the service would send), see them end on one watch, delete them, with 32
requests in flight. No store, no limits, no retry, no result: whoever needs more than this must be slower. It
prints ``ready``, waits for a line on standard input, and prints one JSON line when the last Pod has gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, deque
from typing import Any

from ottoscaler.model import ScaleUp
from ottoscaler.pods.plan import PodDefaults, plan
from ottoscaler.pods.templates import load_templates
from tests.tools.bench import wire

IMAGE = "busybox:latest"
IN_FLIGHT = 32  # as the service's CALLS_IN_FLIGHT


def bodies(namespace: str, instance: str, count: int, run_seconds: float) -> list[tuple[str, bytes]]:
    """Name and JSON of each Pod, from the service's own plan: the same size, the same fields."""
    event = ScaleUp(
        event_id=f"{time.time_ns() // 1_000_000}-0",
        task_id="bench",
        pod_count=count,
        env={"SIM_RUN_SECONDS": f"{run_seconds:g}"},
    )
    defaults = PodDefaults(
        instance=instance,
        installation="0123456789ab",
        namespace=namespace,
        agent_image=IMAGE,
        pending_timeout_seconds=900,
        default_timeout_seconds=3600,
        default_max_retries=2,
    )
    made = plan(event, load_templates(None, agent_image=IMAGE).get("default"), defaults)
    return [(made.name(i, 0), made.body(i, 0)) for i in range(count)]


class Generator:
    """Creates first come, first served; a delete goes before the next create, since it makes room."""

    def __init__(
        self, where: wire.Server, namespace: str, pods: list[tuple[str, bytes]], flying: int
    ) -> None:
        self._where = where
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._creates = deque(pods)
        self._deletes: deque[tuple[str, str]] = deque()
        self._left = {name for name, _ in pods}
        self._asked: set[str] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._pipes: list[wire.Pipe] = []
        self._flying = flying
        self._over = asyncio.Event()
        self.requests: Counter[str] = Counter()

    async def prepare(self) -> str:
        """Open every connection; the version to watch from."""
        self._pipes = [await wire.Pipe(self._where).open() for _ in range(self._flying)]
        status, answer = await self._pipes[0].request("GET", f"{self._path}?limit=1")
        if status != 200:
            raise ConnectionError(f"HTTP status {status} on the list: {answer[:200]!r}")
        return str(json.loads(answer)["metadata"]["resourceVersion"])

    async def run(self, version: str) -> None:
        watch = asyncio.create_task(self._watch(version))
        senders = [asyncio.create_task(self._send(pipe)) for pipe in self._pipes]
        over = asyncio.create_task(self._over.wait())
        done, _ = await asyncio.wait([watch, over, *senders], return_when=asyncio.FIRST_COMPLETED)
        for task in (watch, over, *senders):
            task.cancel()
        for task in done:
            task.result()

    async def _watch(self, version: str) -> None:
        while True:
            pipe = await wire.Pipe(self._where).open()
            query = f"?watch=1&timeoutSeconds=3600&resourceVersion={version}"
            self.requests["watch"] += 1
            async for line in pipe.events(self._path + query):
                seen = wire.parse_event(line)
                if seen is not None:
                    version = seen.version or version
                    self._take(seen)
            pipe.close()

    def _take(self, seen: wire.Seen) -> None:
        if seen.type == "DELETED":
            self._left.discard(seen.name)
            if not self._left:
                self._over.set()
        elif seen.phase in ("Succeeded", "Failed") and seen.name not in self._asked:
            self._asked.add(seen.name)
            self._deletes.append((seen.name, seen.uid))
            if self._idle:
                self._idle.popleft().set_result(None)

    async def _send(self, pipe: wire.Pipe) -> None:
        while True:
            if self._deletes:
                name, uid = self._deletes.popleft()
                options: dict[str, Any] = {
                    "kind": "DeleteOptions",
                    "apiVersion": "v1",
                    "preconditions": {"uid": uid},
                }
                self.requests["delete"] += 1
                status, answer = await pipe.request(
                    "DELETE", f"{self._path}/{name}", json.dumps(options).encode()
                )
            elif self._creates:
                name, body = self._creates.popleft()
                self.requests["create"] += 1
                status, answer = await pipe.request("POST", self._path, body)
            else:
                turn = asyncio.get_running_loop().create_future()
                self._idle.append(turn)
                await turn
                continue
            if status >= 300:
                raise ConnectionError(f"HTTP status {status} for {name}: {answer[:300]!r}")


async def generate(options: argparse.Namespace) -> dict[str, Any]:
    pods = bodies(options.namespace, options.instance, options.count, options.run_seconds)
    generator = Generator(wire.server(wire.kubeconfig_path()), options.namespace, pods, options.in_flight)
    version = await generator.prepare()
    print("ready", flush=True)
    sys.stdin.readline()
    begun, cpu = time.monotonic(), time.process_time()
    await generator.run(version)
    return {
        "seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "requests": dict(generator.requests),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--instance", default="bare")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--run-seconds", type=float, default=1.0)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    print(json.dumps(asyncio.run(generate(parser.parse_args()))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
