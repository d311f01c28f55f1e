"""What the producers send: scale_ups, scale_downs, entries that are too big, trims of their own stream."""

from __future__ import annotations

import random
from collections.abc import Callable

import redis

from tests.harness.invariants import STREAM
from tests.tools.chaos.stage import Stage

MOST_WORKERS = 10
LONG_SECONDS = 3000  # the timeout_seconds that some events ask for
IMAGE = "registry.example.com/agent:1"  # that some ask for
SPECIAL_SHARE = 0.3  # of either
QUIET_SHARE = 0.03  # of the time, at the end, without new events
AGAIN_SECONDS = 0.2


class Producer:
    """Sends by the schedule, and knows what it sent. One thread."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.ups: dict[str, int] = {}  # event id: workers
        self.downs: list[str] = []
        self.cancelled: set[str] = set()  # tasks that they named
        self.huge: list[str] = []  # ids of entries that are over every limit
        self.trimmed: list[str] = []  # ids that were on the stream when it was trimmed

    def plan(self, rng: random.Random, seconds: float, count: int) -> None:
        """Spread so many scale_ups, and a scale_down for every tenth, over the time."""
        last = seconds * (1 - QUIET_SHARE)
        for number in range(count):
            at = last * number / count
            workers, length = rng.randint(1, MOST_WORKERS), round(rng.uniform(0.1, 2.0), 2)
            code = 3 if rng.random() < 0.15 else 0
            special = {"image": IMAGE} if rng.random() < SPECIAL_SHARE else {}
            special |= {"timeout_seconds": str(LONG_SECONDS)} if rng.random() < SPECIAL_SHARE else {}
            up = lambda t=number, w=workers, s=length, c=code, f=special: self._up(t, w, s, c, f)  # noqa: E731
            self._stage.schedule.at(at, up)
            if rng.random() < 0.1:
                self._stage.schedule.at(at + rng.uniform(0, 2), lambda t=number: self._down(t))  # type: ignore[misc]

    def _when_redis_answers(self, send: Callable[[], None]) -> None:
        """Send, or later where Redis is down or loads its data, so that nothing was added."""
        if self._stage.redis_up:
            try:
                send()
                return
            except redis.BusyLoadingError:
                pass
        self._stage.schedule.after(AGAIN_SECONDS, lambda: self._when_redis_answers(send))

    def _up(self, task: int, workers: int, seconds: float, code: int, special: dict[str, str]) -> None:
        def send() -> None:
            event_id = self._stage.place.scale_up(
                workers,
                run_seconds=seconds,
                env={"SIM_EXIT_CODE": str(code)},
                task_id=f"task-{task}",
                max_retries="10",
                **special,
            )
            self.ups[event_id] = workers

        self._when_redis_answers(send)

    def _down(self, task: int) -> None:
        self.cancelled.add(f"task-{task}")
        self._when_redis_answers(
            lambda: self.downs.append(self._stage.place.send("scale_down", task_id=f"task-{task}"))
        )

    def send_huge(self, megabytes: int) -> None:
        """An entry that no replica may take into its memory."""
        self._when_redis_answers(
            lambda: self.huge.append(
                self._stage.place.send("scale_up", pod_count="1", note="x" * (megabytes * 1_000_000))
            )
        )

    def trim(self, keep: int) -> None:
        """Cut the stream to its newest entries, whoever has read the others or not."""

        def send() -> None:
            pipe = self._stage.place.redis.pipeline()
            pipe.xrange(STREAM)
            pipe.xtrim(STREAM, maxlen=keep, approximate=False)
            before, gone = pipe.execute()
            self.trimmed += [entry_id for entry_id, _ in before[:gone]]

        self._when_redis_answers(send)
