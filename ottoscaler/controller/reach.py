"""Whether this replica can reach Kubernetes well enough to work, or is cut off from it."""

from __future__ import annotations

from ottoscaler.kube.server_health import ServerHealth
from ottoscaler.kube.watcher import PodWatcher

WATCH_MAY_FAIL_SECONDS = 5.0  # a watch that breaks off and is opened again within this time is well


class Reach:
    """Thread-safe.

    A replica that is cut off reads nothing, takes nothing over, and releases events that have no Pod yet, so
    that replicas that can work take them. If every replica is cut off, nothing is lost by that.
    """

    def __init__(self, watcher: PodWatcher, server: ServerHealth) -> None:
        self._watcher = watcher
        self._server = server
        self._failing_since = 0.0  # since when the watch has failed (monotonic); 0 while it is well

    def cut_off_for(self, now: float) -> float:
        """For how many seconds this replica has been cut off at ``now`` (monotonic). 0 if it is not."""
        since = self._server.trouble_since()
        if self.watching():
            self._failing_since = 0.0
        elif not self._failing_since:
            self._failing_since = now
        elif now - self._failing_since > WATCH_MAY_FAIL_SECONDS:
            since = min(since, self._failing_since) if since else self._failing_since
        return max(0.0, now - since) if since else 0.0

    def watching(self) -> bool:
        """Whether the watch is well. Then only creates and other requests may fail."""
        return self._watcher.health()[0]

    def cut_off(self, now: float) -> bool:
        """Whether this replica is cut off at ``now`` (monotonic seconds)."""
        return self.cut_off_for(now) > 0
