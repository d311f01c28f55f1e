"""The service's long-lived threads: each carries a name, and none dies unnoticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ottoscaler.errors import LiveTwin, RedisCluster, Stopping
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

PARTS_SECONDS = 10.0  # for threads to end, past the grace period


class Threads:
    """Starts threads and waits for them. ``died`` is called, on the thread itself, with the exit code
    that its death means: 2 for a start that may not go on, else 1.
    """

    def __init__(self, died: Callable[[int], None]) -> None:
        self._died = died
        self._threads: dict[str, threading.Thread] = {}

    def start(self, name: str, run: Callable[[], None]) -> None:
        """Run ``run`` on a new thread of that name; the main thread's, once a name."""
        thread = threading.Thread(target=lambda: self._guard(name, run), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        except Stopping:
            log.debug("thread_stopped", f"{name} stopped")
        except LiveTwin as error:
            log.error("live_twin", str(error))
            self._died(2)
        except RedisCluster as error:
            log.error("redis_cluster", str(error))
            self._died(2)
        except BaseException as error:  # noqa: BLE001 - a thread that dies takes the process down
            log.error("thread_died", f"the {name} thread died: {error}", exc=error)
            self._died(1)

    def join(self, *names: str, seconds: float = PARTS_SECONDS) -> list[str]:
        """Wait until those threads have ended, ``seconds`` in all at most. Returns who still runs."""
        deadline = time.monotonic() + seconds
        running = []
        for name in names:
            thread = self._threads.get(name)
            if thread is None:
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                running.append(name)
        return running
