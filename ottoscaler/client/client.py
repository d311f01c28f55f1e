"""The Python API: send events, wait for them, read what came of them. Needs no package but redis."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, overload

from ottoscaler.client import fields as event_fields
from ottoscaler.client import following, sending
from ottoscaler.client.connection import Connection
from ottoscaler.client.entries import EventResult, Result, WorkerResult
from ottoscaler.client.errors import BadRequest, WaitTimeout
from ottoscaler.client.fields import Fields, Text
from ottoscaler.client.following import AWAY_SECONDS
from ottoscaler.client.streams import BLOCK_MS
from ottoscaler.client.waiting import Waiting
from ottoscaler.errors import RedisError
from ottoscaler.ledger.kept_logs import KeptLog, kept_logs
from ottoscaler.model import is_entry_id

ANSWER_SECONDS = 0.2  # after the end of a wait's time, for the answer to its last read
LONGEST_WAIT_SECONDS = 86_400.0  # without a time limit: the default of OTTO_MAX_TIMEOUT_SECONDS

_NAMES = {
    "REDIS_URL": "url",
    "REDIS_STREAM": "stream",
    "REDIS_RESULTS_STREAM": "results_stream",
    "REDIS_DEAD_STREAM": "dead_stream",
    "REDIS_CONSUMER_GROUP": "group",
}


class Client:
    """Sends events and reads results. Calls block; the first one connects. Each thread needs its own client.

    The names are the service's settings ``REDIS_STREAM``, ``REDIS_RESULTS_STREAM``, ``REDIS_DEAD_STREAM``
    and ``REDIS_CONSUMER_GROUP``. Sending needs the right to XADD on the first stream. Reading needs the
    rights to XRANGE and XREAD on the two others. No call runs a script. Every error is a ``ClientError``. A
    wrong argument is a ``BadRequest``, and then nothing was sent.

    Raises:
        BadRequest: the URL or a name cannot be used.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        stream: str = "otto:scale:events",
        results_stream: str = "otto:scale:results",
        dead_stream: str = "otto:scale:dead",
        group: str = "ottoscaler",
    ) -> None:
        given = dict(zip(_NAMES, (url, stream, results_stream, dead_stream, group), strict=True))
        for name, value in given.items():
            if not isinstance(value, str) or not value.strip():
                raise BadRequest(f"{_NAMES[name]}: expected a string that is not empty")
        self._connection = Connection(given, _NAMES)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """A client with the service's own ``REDIS_`` variables, those for Sentinels and TLS included."""
        client = cls.__new__(cls)
        given = os.environ if environ is None else environ
        client._connection = Connection({n: text for n, text in given.items() if n.startswith("REDIS_")}, {})
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A later call opens them anew."""
        with self._connection.told():
            self._connection.redis.close()

    # --- sending

    def scale_up(
        self,
        pod_count: int,
        *,
        task_id: str | None = None,
        image: str | None = None,
        command: Text | None = None,
        args: Text | None = None,
        env: Mapping[str, str] | None = None,
        cpu: str | None = None,
        memory: str | None = None,
        profile: str | None = None,
        timeout_seconds: int | None = None,
        max_retries: int | None = None,
        priority: int | None = None,
        expires_at: float | datetime | None = None,
        dedup_key: str | None = None,
        logs: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Ask for ``pod_count`` workers. Returns the event's id. The arguments are as in docs/events.md.

        ``sh -c`` runs a ``command`` that is a string; a list runs as it is. If Redis gives no answer, the
        event is sent again, and its ``dedup_key`` makes it run only once; one is made if none is given. The
        returned id may then be that of the duplicate; ``wait`` returns the first one's result for it.

        Raises:
            BadRequest: no service could accept it. A service with stricter limits may dead-letter it later.
            OutcomeUnknown: Redis gave no answer; the event may be on the stream.
            RedisFailed: it was not sent.
        """
        values = {name: value for name, value in locals().items() if name not in ("self", "metadata")}
        return self.send(event_fields.flat("scale_up", values, metadata))

    def scale_down(
        self,
        *,
        task_id: str | None = None,
        pod_count: int | None = None,
        keep_running: bool = False,
        expires_at: float | datetime | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Take workers away: all of a task, ``pod_count`` of it, or ``pod_count`` of any task.

        With ``keep_running``, workers that run already are kept. Returns the event's id. Raises as
        :meth:`scale_up`.
        """
        if not isinstance(keep_running, bool):  # "no" would keep them
            raise BadRequest(f"keep_running: expected True or False, not {type(keep_running).__name__}")
        values = {
            "task_id": task_id,
            "pod_count": pod_count,
            "running": "keep" if keep_running else None,
            "expires_at": expires_at,
        }
        return self.send(event_fields.flat("scale_down", values, metadata))

    def send(self, fields: Fields) -> str:
        """Send an event's fields, given as bytes. Returns its id. Raises as :meth:`scale_up`."""
        return sending.send(self._connection, fields)

    # --- what comes back

    def wait(
        self,
        event_id: str,
        timeout: float | None = None,
        *,
        on_worker: Callable[[WorkerResult], None] | None = None,
        on_look: Callable[[str], None] | None = None,
    ) -> EventResult:
        """Wait until an event has ended. It may have been sent long ago or by somebody else.

        For a duplicate, this returns the first event's result, with the first event's id. ``timeout`` is in
        seconds; without it, the wait ends after a day. Once Redis has answered, an outage does not end the
        wait. Both functions are called on this thread: ``on_worker`` for each worker that ends, and
        ``on_look`` at least once a second, with a sentence that says why Redis is unavailable, or with ''.

        Raises:
            DeadLettered: the event could not be carried out; its text and ``letter`` say why.
            WaitTimeout: it has not ended within ``timeout``. It goes on.
            UnknownEvent: no stream and no ledger knows it. Only a user who may read both can get this.
            RedisFailed: Redis cannot be read.
        """
        seconds = _seconds(LONGEST_WAIT_SECONDS if timeout is None else timeout)
        waiting = Waiting(self._connection.redis, _id(event_id), on_worker)
        deadline = time.monotonic() + seconds
        problem = ""
        while (left := deadline - time.monotonic()) > 0:
            if on_look is not None:
                on_look(problem)
            try:
                with self._connection.redis.until(deadline + ANSWER_SECONDS):
                    end = waiting.step(max(1, min(BLOCK_MS, int(left * 1000))))
                self._connection.answered()
                problem = ""
            except RedisError as error:
                problem = self._connection.outage(error)
                time.sleep(max(0.0, min(AWAY_SECONDS, deadline - time.monotonic())))
                continue
            if end is not None:
                return end
        away = f"; {problem}" if problem else "; `ottoscaler status` shows which"
        raise WaitTimeout(
            f"event {waiting.event_id} has not ended within {seconds:g} s; it waits or runs{away}"
        )

    def results(
        self, *, task_id: str | None = None, event_id: str | None = None, follow: bool = False
    ) -> Iterator[Result]:
        """Finished workers, finished events and dead letters, oldest first; those of one task or event if
        one is given.

        With ``follow``, the iterator never ends and also yields what comes later. It then waits for Redis
        during an outage, up to five minutes. The call raises BadRequest; the iterator raises RedisFailed.
        """
        if task_id is not None and (not isinstance(task_id, str) or not task_id):
            raise BadRequest("task_id: expected a string that is not empty")
        wanted = None if event_id is None else _id(event_id)
        read = following.follow if follow else following.past

        def chosen() -> Iterator[Result]:
            for result in read(self._connection):
                if task_id in (None, result.task_id) and wanted in (None, result.event_id):
                    yield result

        return chosen()

    def logs(self, event_id: str, index: int | None = None) -> Iterator[KeptLog]:
        """The kept logs of an event's ended workers, or of worker ``index``, ordered by index and attempt.

        Needs the rights to SMEMBERS and GET on ``<stream>:<group>:log:*``. The call raises BadRequest; the
        iterator raises RedisFailed.
        """
        wanted = _id(event_id)
        if index is not None and (not isinstance(index, int) or isinstance(index, bool) or index < 0):
            raise BadRequest(f"index: {str(index)[:80]!r} is not an integer from 0")

        def kept() -> Iterator[KeptLog]:
            with self._connection.told():
                yield from kept_logs(self._connection.redis, wanted, index)

        return kept()

    @overload
    def cancel(
        self,
        task_id: str,
        *,
        keep_running: bool = False,
        wait: Literal[True] = True,
        timeout: float | None = None,
    ) -> EventResult: ...

    @overload
    def cancel(
        self, task_id: str, *, keep_running: bool = False, wait: Literal[False], timeout: float | None = None
    ) -> str: ...

    @overload
    def cancel(
        self, task_id: str, *, keep_running: bool = False, wait: bool, timeout: float | None = None
    ) -> EventResult | str: ...

    def cancel(
        self, task_id: str, *, keep_running: bool = False, wait: bool = True, timeout: float | None = None
    ) -> EventResult | str:
        """Take all of a task's workers away. With ``keep_running``, those that run already are kept.

        With ``wait``, this returns the scale_down's result once they are gone; its ``cancelled`` says how
        many there were. Without ``wait``, it returns the scale_down's id. Raises as :meth:`scale_down` and
        :meth:`wait`.
        """
        if not isinstance(task_id, str) or not task_id:
            raise BadRequest("task_id: expected a string that is not empty")
        if timeout is not None:
            _seconds(timeout)
        event_id = self.scale_down(task_id=task_id, keep_running=keep_running)
        return self.wait(event_id, timeout) if wait else event_id


def _id(text: Any) -> str:
    if not isinstance(text, str) or not is_entry_id(text):
        raise BadRequest(f"event_id: {str(text)[:80]!r} is not an id such as 1717430400000-0")
    return text


def _seconds(timeout: Any) -> float:
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout < 1e9:
        raise BadRequest(f"timeout: {str(timeout)[:80]!r} is not a positive number of seconds")
    return float(timeout)
