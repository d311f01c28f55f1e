"""Threads that delete Pods, so that no other thread waits for the API server's answer.

Events take turns. One event has at most a quarter of the threads, so that its deletes, if they hang, do not
hold up those of other events. A delete that fails goes to the end of its event's queue.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ottoscaler.errors import KubernetesError, PodGone, Stopping
from ottoscaler.kube.pod_api import PodApi
from ottoscaler.model import JsonObject
from ottoscaler.pods.labels import event_in
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.logs import flood

THREADS = 32  # the throttle bounds all calls of the process together
THREADS_OF_AN_EVENT = 8
JOB_THREADS = 4  # for jobs that call Redis and not Kubernetes
TRIES = 3  # before the delete goes back to the queue
AGAIN_SECONDS = 0.5  # before it goes back to the queue

Job = Callable[[], None]


class PodDeleter:
    """Deletes Pods in threads of its own. Any thread may call its methods, which return at once.

    After ``close`` they do nothing."""

    def __init__(self, pods: PodApi, stop: threading.Event) -> None:
        self._pods = pods
        self._stop = stop
        self._retrier = Retrier(stop)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="delete")
        self._jobs = ThreadPoolExecutor(JOB_THREADS, thread_name_prefix="job")
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}  # by event: jobs that run or wait for a thread of the pool
        self._waiting: dict[str, deque[Job]] = {}

    def in_namespace(self, namespace: str) -> PodDeleter:
        """A deleter for the Pods of another namespace, with the same threads."""
        other = copy.copy(self)
        other._pods = self._pods.in_namespace(namespace)
        return other

    def close(self) -> None:
        for pool in (self._pool, self._jobs):
            pool.shutdown(wait=False, cancel_futures=True)

    def delete(
        self,
        name: str,
        uid: str,
        gone: Callable[[], None],
        about: JsonObject,
        told: Callable[[JsonObject], None] | None = None,
    ) -> None:
        """Delete this very Pod, trying until the API server has accepted the delete.

        Then ``told`` is called with the Pod as the answer shows it, and after it ``gone``. ``gone`` must not
        wait for anything. If the Pod has gone already, only ``gone`` is called. ``about`` are the fields by
        which log lines name the Pod.
        """
        self.call(event_in(name), lambda: self._delete(name, uid, gone, about, told))

    def call(self, event: str, job: Job) -> None:
        """Run a short job that calls Kubernetes about Pods of one event. The job handles its own errors."""
        with self._lock:
            running = self._running.get(event, 0)
            if running >= THREADS_OF_AN_EVENT:
                self._waiting.setdefault(event, deque()).append(job)
                return
            self._running[event] = running + 1
        self._submit(self._pool, lambda: self._serve(event, job))

    def run(self, job: Job) -> None:
        """Run a short job that may wait for Redis, never for Kubernetes. The job handles its own errors."""
        self._submit(self._jobs, job)

    def _submit(self, pool: ThreadPoolExecutor, job: Job) -> None:
        if not self._stop.is_set():
            with suppress(RuntimeError):  # closed meanwhile
                pool.submit(job)

    def _serve(self, event: str, job: Job) -> None:
        try:
            job()
        finally:
            following = self._next(event)
            if following is not None:  # behind the other events
                self._submit(self._pool, lambda: self._serve(event, following))

    def _next(self, event: str) -> Job | None:
        """The event's next job, which takes over the place of the one that ended. ``None``: the event has no
        more jobs, and the place is free."""
        with self._lock:
            queue = self._waiting.get(event)
            if queue:
                following = queue.popleft()
                if not queue:
                    del self._waiting[event]
                return following
            self._running[event] -= 1
            if not self._running[event]:
                del self._running[event]
            return None

    def _delete(
        self,
        name: str,
        uid: str,
        gone: Callable[[], None],
        about: JsonObject,
        told: Callable[[JsonObject], None] | None,
    ) -> None:
        try:
            reply = self._retrier.call(
                "deleting a Pod", lambda: self._pods.delete(name, uid, told=told is not None), tries=TRIES
            )
        except PodGone:
            gone()
        except Stopping:
            return
        except KubernetesError as error:
            flood.warning("delete_failed", f"a Pod could not be deleted, trying again: {error}", **about)
            self._stop.wait(AGAIN_SECONDS)
            self.delete(name, uid, gone, about, told)
        else:
            if told is not None:
                told(reply)
            gone()
