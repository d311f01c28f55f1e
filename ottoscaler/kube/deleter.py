"""A few threads that ask for Pods to go, so that nothing else waits for the API server to answer.

A delete that fails goes to the end of the queue: one Pod that cannot be deleted holds up no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ottoscaler.errors import KubernetesError, PodGone, Stopping
from ottoscaler.kube.client import PodClient
from ottoscaler.model import JsonObject
from ottoscaler.retry import Retrier
from ottoscaler.telemetry.logs import flood

THREADS = 8  # the throttle bounds all calls of the process together
TRIES = 3  # in one go
AGAIN_SECONDS = 0.5  # between two goes, if nothing else is queued


class PodDeleter:
    """The pool. ``delete`` and ``run`` return at once, from any thread; after ``close`` they do nothing."""

    def __init__(self, pods: PodClient, stop: threading.Event) -> None:
        self._pods = pods
        self._stop = stop
        self._retrier = Retrier(stop)
        self._pool: ThreadPoolExecutor | None = None

    def start(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="delete")

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def delete(self, name: str, uid: str, gone: Callable[[], None], about: JsonObject) -> None:
        """Ask for this very Pod to go until the API server has accepted it; then call ``gone``.

        ``about`` are the fields by which log lines name it.
        """
        self.run(lambda: self._delete(name, uid, gone, about))

    def run(self, job: Callable[[], None]) -> None:
        """Something short that may wait for Redis or Kubernetes. Its errors are its own."""
        if self._pool is None or self._stop.is_set():
            return
        try:
            self._pool.submit(job)
        except RuntimeError:
            return  # closed meanwhile

    def _delete(self, name: str, uid: str, gone: Callable[[], None], about: JsonObject) -> None:
        try:
            self._retrier.call("deleting a Pod", lambda: self._pods.delete(name, uid), tries=TRIES)
        except PodGone:
            gone()
        except Stopping:
            return
        except KubernetesError as error:
            flood.warning("delete_failed", f"a Pod could not be deleted; it is tried again: {error}", **about)
            self._stop.wait(AGAIN_SECONDS)
            self.delete(name, uid, gone, about)
        else:
            gone()
