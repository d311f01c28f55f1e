"""A create's turn whose request was opened: it is sent once or dropped once."""

from __future__ import annotations

from typing import cast

from ottoscaler.kube.client import RequestTurn
from ottoscaler.kube.connections import OpenRequest
from ottoscaler.kube.throttle import Throttle
from ottoscaler.model import JsonObject


class Opened:
    drops = 0

    def drop(self) -> None:
        self.drops += 1


def turn(opened: Opened, sent: list[OpenRequest | None]) -> RequestTurn:
    def create(request: OpenRequest | None) -> JsonObject:
        sent.append(request)
        return {}

    return RequestTurn(Throttle(10, 10), "1-0", "default", create, cast(OpenRequest, opened))


def test_open_request_is_dropped_when_its_turn_is_left() -> None:
    opened, sent = Opened(), list[OpenRequest | None]()
    with turn(opened, sent) as one:
        assert one.ready(5)
        assert opened.drops == 0
    assert (opened.drops, sent) == (1, [])


def test_open_request_is_sent_once_and_then_not_dropped() -> None:
    opened, sent = Opened(), list[OpenRequest | None]()
    with turn(opened, sent) as one:
        assert one.ready(5)
        one.send()
        one.send()
    assert [request is None for request in sent] == [False, True]
    assert opened.drops == 0
