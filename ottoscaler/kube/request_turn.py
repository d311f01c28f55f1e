"""A create's turn, with the request that is sent when the turn has come."""

from __future__ import annotations

from collections.abc import Callable

from ottoscaler.kube.open_request import OpenRequest
from ottoscaler.kube.throttle import Throttle, Turn
from ottoscaler.model import JsonObject


class RequestTurn(Turn):
    """A create that waits in the throttle. Its request may have been opened."""

    def __init__(
        self,
        throttle: Throttle,
        event: str,
        profile: str,
        create: Callable[[OpenRequest | None], JsonObject],
        opened: OpenRequest | None = None,
    ) -> None:
        super().__init__(throttle, event, profile)
        self._create = create
        self._opened = opened

    def leave(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.drop()
        super().leave()

    def complete(self) -> bool:
        return self._opened is not None and self.__enter__().ready(0) and self._opened.complete()

    def send(self) -> JsonObject:
        opened, self._opened = self._opened, None
        return self._create(opened)
