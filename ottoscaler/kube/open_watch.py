"""The connection of the open watch: whether it works, and how another thread cuts it."""

from __future__ import annotations

from typing import Any

from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)


class OpenWatch:
    """The watch thread notes the state of its connection here. Any thread may ask for it, and may cut it."""

    def __init__(self) -> None:
        self.healthy = False
        self._problem = "not synced yet"
        self._response: Any = None

    def opened(self, response: Any) -> None:
        """The server has answered with this response. The watch thread."""
        self._response = response

    def ended(self) -> None:
        """The watch has ended, so there is nothing to cut. The watch thread."""
        self._response = None

    def broke(self, problem: str) -> None:
        """The watch or the list before it failed, with this sentence. The watch thread."""
        self._problem = problem
        self.healthy = False

    def cut(self) -> None:
        """End the open watch now, if one is open. Any thread."""
        response = self._response
        if response is None:
            return
        try:
            response.shutdown()
        except (AttributeError, ValueError, RuntimeError, OSError) as error:
            log.debug("cut_failed", f"the watch had already ended: {error}")

    def health(self) -> tuple[bool, str]:
        """Whether the watch has synced and is open, and what is wrong."""
        return self.healthy, "" if self.healthy else self._problem
