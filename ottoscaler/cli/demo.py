"""``demo``: shows three events on the terminal, run by the embedded local cluster.

It starts a local API server whose kubelet really runs the commands, a Redis, and the service as a process of
its own. Nothing is left running afterwards, however the demo ends.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ottoscaler.cli.demo_view import Scene, View, Worker, say
from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings
from ottoscaler.errors import OttoscalerError
from ottoscaler.kube.client import PodClient
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.throttle import Throttle
from ottoscaler.ledger.records import entries, timestamp
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.local import LocalCluster
from ottoscaler.local.service import Service, ServiceFailed
from ottoscaler.local.stop_signals import stop_signals
from ottoscaler.pods.labels import selector

SCENE_SECONDS = 40.0  # the limit for one scene, which takes some 5 s
FRAME_SECONDS = 0.15
LOOK_SECONDS = 60.0  # how long a wait for the end is at a time
SLOTS = 10

SCENES = (
    Scene(
        "Three workers",
        "One event runs three worker Pods: created, watched, recorded, deleted.",
        {
            "pod_count": "3",
            "task_id": "build-17",
            "command": 'echo "worker $OTTO_WORKER_INDEX builds"; sleep 2',
        },
    ),
    Scene(
        "One that fails",
        "A failed worker is reported with its exit code and last output, and affects no other worker.",
        {"pod_count": "1", "task_id": "tests-17", "command": 'sleep 1; echo "2 tests failed" >&2; exit 3'},
    ),
    Scene(
        "A burst",
        f"Thirty workers, at most {SLOTS} at once (OTTO_MAX_WORKERS={SLOTS}).",
        {"pod_count": "30", "task_id": "burst", "command": "sleep 1"},
    ),
)


class _Ended(OttoscalerError):
    """The demo ends early, because a scene took too long or the service did not start."""


class _Signalled(BaseException):
    """Ctrl-C, SIGTERM, or SIGHUP, which a closed terminal sends. Its argument is the signal's number."""


def demo(environ: Mapping[str, str], *, stay: bool = False) -> int:
    """Play the scenes. Returns 0 if every scene ended as expected, 1 if not, 130 after Ctrl-C, 143 after
    SIGTERM and 129 after SIGHUP.

    With ``stay``, everything keeps running after the scenes until Ctrl-C, so that one can look at the status
    page.
    """
    begun = time.monotonic()
    # An exception that a signal's handler raises may be lost, so these are blocked, and taken in ``_pause``.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    try:
        with LocalCluster("process") as cluster:
            say(f"A local Kubernetes API ({cluster.server_url}) and Redis ({cluster.redis_url}) are up.")
            with _service(cluster, environ) as settings:
                code = _Story(cluster, settings).tell(begun)
                say("\nNext: `make local` starts the same again, keeps it running, and prints what to type.")
                say("`make demo ARGS=--page` keeps the status page open at the end.")
                say("Without a clone: `python -m ottoscaler.local up`, `ottoscaler demo --page`.")
                if stay:
                    say(f"The status page stays open until Ctrl-C: {_page(settings)}")
                    _until_interrupted()
                return code
    except _Signalled as signalled:
        number = int(signalled.args[0])
        if number == signal.SIGINT:
            say("\nStopped; nothing is left running.")
        return 128 + number
    except (OttoscalerError, OSError) as error:
        print(f"ottoscaler demo: {error}", file=sys.stderr)
        return 1


def _until_interrupted() -> None:
    try:
        while True:
            _pause(LOOK_SECONDS)
    except _Signalled as signalled:
        if signalled.args[0] != signal.SIGINT:
            raise
        say("\nStopped; nothing is left running.")


def _pause(seconds: float = FRAME_SECONDS) -> None:
    found = signal.sigtimedwait(stop_signals(), seconds)
    if found is not None:
        raise _Signalled(found.si_signo)


@contextmanager
def _service(cluster: LocalCluster, environ: Mapping[str, str]) -> Iterator[Settings]:
    """The service as its own process, as in a cluster, with its log in the local cluster's folder."""
    env = {name: environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in environ}
    env |= {"OTTO_MAX_WORKERS": str(SLOTS), "OTTO_LEASE_SECONDS": "5"}
    with (cluster.directory / "service.log").open("wb") as log:
        service = Service(str(cluster.kubeconfig_path), cluster.redis_url, env, log)
        try:
            service.start()
        except ServiceFailed as error:
            raise _Ended(str(error)) from error
        try:
            settings = config.load(service.environ)
            say("The service is up: one `python -m ottoscaler` process.")
            say(f"Its status page, while this runs: {_page(settings)}")
            yield settings
        finally:
            service.stop()


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise _Ended(f"it took longer than {seconds:g} s")
        _pause()


class _Story:
    def __init__(self, cluster: LocalCluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._redis = RedisClient(settings)
        access = Access(str(cluster.kubeconfig_path), 2)
        self._pods = PodClient(access, settings.namespace, Throttle(50, 50), lambda *_: None)
        self._view = View(sys.stdout)

    def tell(self, begun: float) -> int:
        told = [self._play(number, scene) for number, scene in enumerate(SCENES, 1)]
        _wait(lambda: not self._pods.list(selector(self._settings.instance))[0], SCENE_SECONDS)
        self._view.results(self._results("event"), self._results("worker"))
        self._redis.close()
        expected = ["succeeded", "failed", "succeeded"]
        statuses = [entry.get("status") for entry in told]
        say(f"\nNo worker Pod is left. {time.monotonic() - begun:.0f} s in all.")
        return 0 if statuses == expected else 1

    def _play(self, number: int, scene: Scene) -> dict[str, str]:
        words = [word for pair in scene.fields.items() for word in pair]
        self._view.open(number, scene, self._redis_cli(words))
        raw = self._redis.command("XADD", self._settings.redis_stream, "*", "type", "scale_up", *words)
        event_id = raw.decode()
        deadline = time.monotonic() + SCENE_SECONDS
        while True:
            ended = [entry for entry in self._results("event") if entry["event_id"] == event_id]
            self._view.frame(scene, self._workers(event_id, int(scene.fields["pod_count"])))
            if ended:
                self._view.close(ended[0])
                return ended[0]
            if time.monotonic() > deadline:
                raise _Ended(f"scene {number} took longer than {SCENE_SECONDS:g} s; see `make local`")
            _pause()

    def _workers(self, event_id: str, total: int) -> list[Worker]:
        """Each worker as its result shows it, or else its Pod. A worker that has neither waits to be created.

        The Pods are read before the results, because a worker has its result before its Pod is gone.
        """
        found = {index: Worker.waiting(index) for index in range(total)}
        for view in self._pods.list(selector(self._settings.instance))[0]:
            if view.worker is not None and view.worker.event_id == event_id:
                found[view.worker.index] = Worker.of_pod(view, timestamp())
        for entry in self._results("worker"):
            if entry["event_id"] == event_id:
                found[int(entry["index"])] = Worker.of_result(entry)
        return list(found.values())

    def _results(self, kind: str) -> list[dict[str, str]]:
        raw = entries(self._redis.command("XRANGE", self._settings.redis_results_stream, "-", "+"))
        told = [{k.decode(): v.decode() for k, v in entry.fields or ()} for entry in raw]
        return [entry for entry in told if entry["kind"] == kind]

    def _redis_cli(self, words: list[str]) -> str:
        shown = " ".join(
            word if word.replace("-", "").replace("_", "").isalnum() else f"'{word}'" for word in words
        )
        return f"redis-cli -u {self._cluster.redis_url} XADD otto:scale:events '*' type scale_up {shown}"


def _page(settings: Settings) -> str:
    return f"http://localhost:{settings.http_port}/"
