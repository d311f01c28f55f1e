"""Whether this replica can do its work on Kubernetes at all, or is cut off from it."""

from __future__ import annotations

from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.kube.watcher import PodWatcher

WATCH_MAY_FAIL_SECONDS = 5.0  # one that breaks off and is opened again, maybe in doubt, is well


class Reach:
    """Thread-safe. Without reach a replica reads nothing, takes nothing over, and lets go of what has no Pod
    yet, so that replicas that can work do it. Where every replica is cut off, that costs nothing."""

    def __init__(self, watcher: PodWatcher, server: ServerHealth) -> None:
        self._watcher = watcher
        self._server = server
        self._failing_since = 0.0  # monotonic, of the watch; 0 while it is well

    def cut_off_for(self, now: float) -> float:
        """Seconds for which this replica has been cut off, at a monotonic time; 0 where it is not."""
        since = self._server.trouble_since()
        if self.watching():
            self._failing_since = 0.0
        elif not self._failing_since:
            self._failing_since = now
        elif now - self._failing_since > WATCH_MAY_FAIL_SECONDS:
            since = min(since, self._failing_since) if since else self._failing_since
        return max(0.0, now - since) if since else 0.0

    def watching(self) -> bool:
        """Whether the watch is well: then only creates and looks may fail."""
        return self._watcher.health()[0]

    def cut_off(self, now: float) -> bool:
        """Whether it is cut off now."""
        return self.cut_off_for(now) > 0
