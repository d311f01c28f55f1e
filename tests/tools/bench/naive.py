"""The naive peer: the service's flow written down literally, as one would on the first afternoon.

    python -m tests.tools.bench.naive --namespace NS --redis-url URL --workers 1000

The typed client, a read of its Pod every 2 s by each worker, the event acknowledged when it was forwarded, a
pool of 1,000 threads. It keeps no state, so a crash loses what is in flight: it is here to be compared with,
not to be used. On SIGTERM it prints its requests by verb as one JSON line.
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kubernetes.client
import kubernetes.config
import redis

from tests.tools.bench.bare import IMAGE
from tests.tools.bench.wire import kubeconfig_path

POLL_SECONDS = 2.0
STREAM, GROUP, CONSUMER = "otto:scale:events", "ottoscaler", "naive"

kube: Any = kubernetes.client
kube_config: Any = kubernetes.config


class Naive:
    """Listener, dispatcher and workers, without any of the promises."""

    def __init__(self, url: str, namespace: str, workers: int) -> None:
        self._redis: Any = redis.Redis.from_url(url, decode_responses=True)
        kube_config.load_kube_config(config_file=kubeconfig_path())
        self._api = kube.CoreV1Api()
        self._namespace = namespace
        self._pool = ThreadPoolExecutor(workers)
        self._events: queue.Queue[tuple[str, dict[str, str]]] = queue.Queue()
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()

    def listen(self) -> None:
        try:
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError:
            print("the group is there already", file=sys.stderr)
        while True:
            found = self._redis.xreadgroup(
                GROUP, CONSUMER, {STREAM: ">"}, count=16, block=int(POLL_SECONDS * 1000)
            )
            for _, entries in found or []:
                for event_id, fields in entries:
                    self._events.put((event_id, fields))
                    self._redis.xack(STREAM, GROUP, event_id)

    def dispatch(self) -> None:
        while True:
            event_id, fields = self._events.get()
            for index in range(int(fields["pod_count"])):
                self._pool.submit(self._work, event_id, index, fields)

    def _work(self, event_id: str, index: int, fields: dict[str, str]) -> None:
        try:
            name = f"otto-agent-naive-{event_id}-{index}"
            self._api.create_namespaced_pod(self._namespace, _pod(name, event_id, fields))
            self._count("create")
            while True:
                time.sleep(POLL_SECONDS)
                pod = self._api.read_namespaced_pod(name, self._namespace)
                self._count("get")
                if pod.status.phase in ("Succeeded", "Failed"):
                    break
            self._api.delete_namespaced_pod(name, self._namespace)
            self._count("delete")
        except Exception as error:  # noqa: BLE001 - a future would swallow it
            print(f"{event_id} {index}: {error}", file=sys.stderr)

    def _count(self, verb: str) -> None:
        with self._lock:
            self.requests[verb] += 1


def _pod(name: str, event_id: str, fields: dict[str, str]) -> Any:
    env = [kube.V1EnvVar(name=k, value=v) for k, v in json.loads(fields.get("env", "{}")).items()]
    size = {"cpu": "100m", "memory": "128Mi"}
    container = kube.V1Container(
        name="worker",
        image=IMAGE,
        env=[kube.V1EnvVar(name="OTTO_EVENT_ID", value=event_id), *env],
        resources=kube.V1ResourceRequirements(requests=size, limits=size),
    )
    return kube.V1Pod(
        metadata=kube.V1ObjectMeta(name=name, labels={"app": "otto-agent", "managed-by": "naive"}),
        spec=kube.V1PodSpec(containers=[container], restart_policy="Never"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--workers", type=int, default=1000)
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    peer = Naive(options.redis_url, options.namespace, options.workers)
    for run in (peer.listen, peer.dispatch):
        threading.Thread(target=run, daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    print(json.dumps(dict(peer.requests)), flush=True)
    # pool threads would be waited for
    import os

    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
