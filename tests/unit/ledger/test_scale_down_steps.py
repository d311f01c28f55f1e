"""What a scale_down asks Redis for: no script takes it long."""

from __future__ import annotations

from typing import Any, cast

from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.scale_downs import INDEXES_A_SCRIPT, ScaleDownSteps


class Counting:
    """Stands for Redis: two events, and which of their indexes each script was asked for."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts
        self.asked: list[list[tuple[str, int]]] = []

    def run(self, name: str, *words: Any) -> Any:
        if name == "candidates":
            return [b"ok", [[i.encode(), str(n).encode()] for i, n in self.counts.items()]]
        triples = zip(words[::3], words[1::3], words[2::3], strict=True)
        parts = [(event_id, first, many) for event_id, first, many in triples]
        self.asked.append([(i, at) for i, first, many in parts for at in range(first, first + many)])
        return [b"ok", [[event_id.encode(), []] for event_id, _, _ in parts]]


def test_candidates_of_many_workers_are_read_by_scripts_that_hold_up_redis_no_longer_than_one_page() -> None:
    redis = Counting({"1-0": 2 * INDEXES_A_SCRIPT + 1, "2-0": INDEXES_A_SCRIPT // 2, "3-0": 1})
    ScaleDownSteps(cast(Scripts, redis)).candidates("9-0", None)
    assert max(map(len, redis.asked)) <= INDEXES_A_SCRIPT
    every = [each for asked in redis.asked for each in asked]
    assert every == [(event_id, at) for event_id, count in redis.counts.items() for at in range(count)]
