"""Invariant 3 at every instant: as each delete of a worker's Pod is carried out, its reason stands in Redis.

The local API server tells of a delete before it answers, and what the ledger says at that moment decides. So
neither what the service logs nor what it writes later plays a part.
"""

from __future__ import annotations

import re
import threading
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ottoscaler.local.apiserver.audit import AuditRecord
from tests.harness.sandbox import Sandbox

NAME = re.compile(r"^otto-agent-.*-(\d+-\d+)-(\d+)-(\d+)$")

_LEDGER = "otto:scale:events:ottoscaler:event:"
_AWAY = (redis.ConnectionError, redis.TimeoutError)  # Redis does not run, or still loads its data


class Evidence:
    """Watches a sandbox's local cluster from its making on. Its Redis may crash, but loses nothing.

    Where Redis is down as a delete comes, the question waits: nothing can be written meanwhile. ``catch_up``
    asks it, and is to be called before anybody else reaches the Redis that is back.
    """

    def __init__(self, place: Sandbox) -> None:
        assert place.cluster is not None, "a real API server tells us of no delete"
        self._place = place
        self._lock = threading.Lock()
        self._client: Any = None
        self._url = ""
        self._waiting: list[AuditRecord] = []
        self._problems: list[str] = []
        self.deletes = 0
        place.cluster.audit.observe(self._see)

    def _see(self, record: AuditRecord) -> None:
        """The API server's thread, as a request has taken effect."""
        ours = record.resource == "pods" and record.namespace == self._place.kube.namespace
        if record.verb == "delete" and record.code < 400 and ours and NAME.match(record.name):
            with self._lock:
                self.deletes += 1
                self._waiting.append(record)
                self._ask()

    def _redis(self) -> Any:
        """A client of our own, which never tries twice: the API server waits for us."""
        url = self._place.redis_server.url
        if url != self._url:
            retry = Retry(NoBackoff(), 0)
            self._client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=5, retry=retry)
            self._url = url
        return self._client

    def _ask(self) -> None:
        while self._waiting:
            try:
                reason = durable_reason(self._redis(), self._waiting[0])
            except _AWAY:
                return
            record = self._waiting.pop(0)
            if not reason:
                self._problems.append(f"the Pod {record.name} was deleted before the reason was durable")

    def catch_up(self) -> None:
        with self._lock:
            self._ask()

    def problems(self) -> list[str]:
        """A sentence for each delete without a reason."""
        self.catch_up()
        with self._lock:
            left = [f"whether {one.name} might be deleted is unknown" for one in self._waiting]
            return self._problems + left


def durable_reason(client: Any, record: AuditRecord) -> str:
    """Why the ledger lets this Pod be deleted, in a word; '' where it does not."""
    match = NAME.match(record.name)
    assert match is not None
    event_id, index, attempt = match[1], match[2], int(match[3])
    state, stands, intent, overtime = client.hmget(
        f"{_LEDGER}{event_id}", "state", f"i:{index}", f"c:{index}", f"t:{index}"
    )
    if state == "done":
        return "its event has ended"
    stage, number, rest = (stands or "n:-1:").split(":", 2)
    if stage == "d":
        return "a result"
    if int(number) > attempt:
        return "a later attempt"
    if stage == "s" and int(number) == attempt and rest not in ("", record.uid):
        return "the attempt has another Pod"
    if overtime and overtime.startswith(f"{attempt}:"):
        return "an intent to end it for its time limit"
    return "an intent" if intent else ""
