"""Which Sentinel is asked for the master, and what its answer changes."""

from __future__ import annotations

import threading
from typing import Any, cast

from ottoscaler.errors import RedisUnavailable
from ottoscaler.ledger.redis_endpoint import Address, Endpoint
from ottoscaler.ledger.sentinel_watch import SentinelWatch
from ottoscaler.threads import Control

OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class FakeSentinel:
    def __init__(self, master: Address | None) -> None:
        self.says = master
        self.asked = 0

    def master(self) -> Address:
        self.asked += 1
        if self.says is None:
            raise RedisUnavailable("it does not answer")
        return self.says


def watch(*sentinels: FakeSentinel) -> tuple[SentinelWatch, Endpoint]:
    endpoint = Endpoint()
    endpoint.reached(OLD)
    return SentinelWatch(cast(Any, sentinels), endpoint, Control(threading.Event(), lambda: None)), endpoint


def test_a_master_that_changes_is_followed_while_the_old_one_still_answers() -> None:
    one = FakeSentinel(OLD)
    made, endpoint = watch(one)
    made.step(0.0)
    before = endpoint.generation
    one.says = NEW
    made.step(1.0)
    assert endpoint.generation == before + 1


def test_a_sentinel_that_does_not_answer_is_left_for_the_next_one() -> None:
    dead, well = FakeSentinel(None), FakeSentinel(OLD)
    made, endpoint = watch(dead, well)
    for second in range(4):
        made.step(float(second))
    assert (dead.asked, well.asked) == (1, 3)
    well.says = None
    dead.says = NEW
    made.step(4.0)
    before = endpoint.generation
    made.step(5.0)
    assert endpoint.generation == before + 1
