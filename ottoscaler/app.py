"""One replica: it starts the parts that ``wiring`` makes, and stops them in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial

from ottoscaler.config.settings import Settings
from ottoscaler.controller.shutdown import Phases
from ottoscaler.errors import RedisError
from ottoscaler.pods.templates import Templates
from ottoscaler.telemetry.logs import flood, get_logger
from ottoscaler.threads import Threads
from ottoscaler.wiring import Parts

log = get_logger(__name__)


class App:
    """One replica. The main thread calls ``start`` and ``leave_workers``; the stop thread calls ``stop``."""

    def __init__(self, settings: Settings, templates: Templates) -> None:
        self.settings = settings
        self.finished = threading.Event()
        self.exit_code = 0
        self._phases = Phases()
        self._threads = Threads(self._die)
        self._parts = Parts(settings, templates, self._phases, self._threads)

    def start(self) -> None:
        """Start every thread.

        Threads that read events wait until this replica is registered and the first list of Pods has come.
        """
        self._parts.http.start()
        ready = (self._parts.lease.registered, self._parts.watcher.synced)
        self._threads.start("lease", self._hold_lease)
        if self._parts.sentinel_watch is not None:
            self._threads.start("sentinels", self._parts.sentinel_watch.run)
        self._threads.start("watch", self._parts.reflector.run)
        self._threads.start("dispatcher", self._parts.dispatcher.run)
        self._threads.start("listener", partial(self._parts.listener.run_after, *ready))
        self._threads.start("takeover", partial(self._parts.takeover.run_after, *ready))
        if self._parts.template_watch is not None:
            self._threads.start("templates", self._parts.template_watch.run)
        self._threads.start("reconciler", partial(self._parts.reconciler.run_after, *ready))

    def _hold_lease(self) -> None:
        s = self.settings
        self._parts.lease.register(self._phases.stopping)
        log.info(
            "registered",
            f"serving {s.redis_stream} as {s.redis_consumer}",
            instance=s.instance,
            namespace=s.namespace,
        )
        self._parts.lease.run()

    def _die(self, code: int) -> None:
        self.exit_code = self.exit_code or code
        self._phases.abandon.set()
        self._phases.stopping.set()
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        """Hand everything over in order, within one deadline, then end the threads."""
        begun = time.monotonic()
        try:
            self._parts.shutdown.begin()
            stuck = self._parts.shutdown.hand_over(begun + self.settings.shutdown_grace_seconds)
            stuck += self._parts.shutdown.end(
                (self._parts.scale_downs.close, self._parts.deleter.close, self._parts.dispatcher.close)
            )
            for name in stuck:
                log.error("thread_stuck", f"the {name} thread did not stop")
                self.exit_code = self.exit_code or 1
            self._close()
        except BaseException as error:
            log.error("stop_failed", "internal error while stopping", exc=error)
            self.exit_code = self.exit_code or 1
            raise
        finally:
            log.info("stopped", f"stopped in {time.monotonic() - begun:.1f} s", exit_code=self.exit_code)
            self.finished.set()

    def _close(self) -> None:
        self._parts.http.stop()
        for client in self._parts.redis_clients:
            try:
                client.close()
            except RedisError as error:
                log.debug("close_failed", str(error))
        flood.sweep(all_windows=True)

    def leave_workers(self) -> None:
        """Hand over everything at once. A second signal causes this."""
        log.warning("hurrying", "second signal: running workers are left to the next replica")
        self._parts.shutdown.leave_workers()
