"""One event's whole life: when it was sent, read, begun, how each worker went and ended, who cancelled it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ottoscaler.client.entries import EventResult, WorkerResult
from ottoscaler.client.streams import before
from ottoscaler.ledger.kept_logs import kept_logs, names_of_kept_logs
from ottoscaler.ledger.records import indexes_of, intents_of, text
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject
from ottoscaler.pods.labels import pod_name
from ottoscaler.status.backlog import redis_ms
from ottoscaler.status.dead_letters import letter_of
from ottoscaler.status.event_results import ResultsMemory
from ottoscaler.status.events import event_fields
from ottoscaler.status.in_flight import unended
from ottoscaler.status.live_workers import live_workers
from ottoscaler.status.steps import steps
from ottoscaler.status.streams import Finder, cut_entries, equals
from ottoscaler.status.untold import Veil, letter_told

MOST_WORKERS = 1000  # listed one by one. Those in flight and those that failed come first
CLOCK_MS = 5000  # how far an entry's id may be behind the time at which the ledger says that it was written
LONGEST_LOG = 1 << 20  # bytes; of a longer log, only the end is shown
_BY = re.compile(r"cancelled by ([0-9]+-[0-9]+)")
# What is told first, where not all of an event's workers are.
_FIRST = ("running", "starting", "cancelling", "retrying", "begun", "failed", "cancelled", "succeeded")


def story(redis: RedisClient, instance: str, memory: ResultsMemory, event_id: str) -> JsonObject | None:
    """All that Redis knows about an event; ``None`` if it knows nothing. Raises RedisError."""
    now_ms = redis_ms(redis)
    flat = redis.command_or([], "HGETALL", f"{redis.prefix}event:{event_id}")
    raw = {text(name): text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
    fields = dict(event_fields(redis, event_id))
    dead = None
    if raw.get("status", "dead") == "dead" and raw.get("state") != "open":
        dead = _dead_letter(redis, event_id, before(event_id, now_ms))
    if not raw and not fields and dead is None:
        return None
    veil = Veil(fields.items())
    end = str(int(raw["ended"]) + CLOCK_MS) if raw.get("ended", "").isdigit() else "+"
    results = memory.of(event_id, raw.get("taken") or before(event_id, now_ms), end)
    result = results.event
    workers = {each["index"]: each for each in _in_flight(redis, instance, event_id, raw, now_ms)}
    workers |= {each.index: _ended(each, veil) for each in results.workers}
    for index, attempt in names_of_kept_logs(redis, event_id):
        if index in workers:
            workers[index]["logs"].append(attempt)
    chosen = sorted(workers.values(), key=_place)
    told = sorted(chosen[:MOST_WORKERS], key=lambda each: int(each["index"]))
    count = raw.get("n") or fields.get("pod_count", "")
    return {
        "event_id": event_id,
        "task_id": raw.get("task") or fields.get("task_id") or (dead["task_id"] if dead else "") or event_id,
        "type": raw.get("type") or fields.get("type", ""),
        "status": _status(raw, result, dead),
        "pod_count": int(count) if count.isdigit() else None,
        "owner": raw.get("owner", "").rpartition("/")[0],
        "strikes": int(raw.get("strikes") or 0),
        "of": result.of if result else "",
        "counts": _counts(raw, result),
        "steps": steps(event_id, raw, result, workers.values(), dead, now_ms, veil),
        "workers": told,
        "more_workers": len(workers) - len(told) + results.left_out,
        "dead_letter": dead,
    }


def log_text(redis: RedisClient, event_id: str, index: int, attempt: int) -> str | None:
    """The end of one attempt's kept log as text; ``None`` if none is kept. Raises RedisError."""
    veil = Veil(event_fields(redis, event_id))
    for log in kept_logs(redis, event_id, index):
        if log.attempt == attempt:
            return veil.text(log.text[-LONGEST_LOG:].decode("utf-8", "replace"))
    return None


def _place(worker: JsonObject) -> tuple[int, int]:
    state = worker["state"]  # a later version may have others
    return _FIRST.index(state) if state in _FIRST else len(_FIRST), worker["index"]


def _status(raw: Mapping[str, str], result: EventResult | None, dead: JsonObject | None) -> str:
    if raw.get("state") == "open":
        return "in flight"
    if dead is not None:
        return "dead-lettered"
    return raw.get("status") or (result.status if result else "not read yet")


def _counts(raw: Mapping[str, str], result: EventResult | None) -> JsonObject:
    if result is not None:
        return {"succeeded": result.succeeded, "failed": result.failed, "cancelled": result.cancelled}
    names = {"succeeded": "ok", "failed": "bad", "cancelled": "cut"}
    return {name: int(raw.get(short) or 0) for name, short in names.items()}


# --- its entries in the streams


def _dead_letter(redis: RedisClient, event_id: str, begin: str) -> JsonObject | None:
    found = next(Finder(redis).newest("dead", (equals("event_id", event_id),), begin), None)
    if found is None:
        return None
    cut = cut_entries(redis, "dead", found.id, found.id, 1)
    return letter_told(letter_of(cut[0] if cut else found).document())


# --- its workers


def _worker(index: int, attempt: int, state: str, **more: Any) -> JsonObject:
    empty = dict.fromkeys(("pod", "node", "created_at", "started_at", "finished_at", "reason", "message"), "")
    rest: JsonObject = {"exit_code": None, "cancelled_by": "", "logs": []}
    return {"index": index, "attempt": attempt, "state": state, **empty, **rest, **more}


def _ended(result: WorkerResult, veil: Veil) -> JsonObject:
    names = ("pod", "node", "created_at", "started_at", "finished_at", "reason", "exit_code")
    by = _BY.search(result.message) if result.status == "cancelled" else None
    return _worker(
        result.index,
        result.attempt,
        result.status,
        **{name: getattr(result, name) for name in names},
        message=veil.text(result.message),
        cancelled_by=by[1] if by else "",
    )


def _in_flight(
    redis: RedisClient, instance: str, event_id: str, raw: Mapping[str, str], now_ms: int
) -> Iterator[JsonObject]:
    """The workers that have begun and not ended, with node and times if their replica reports them."""
    if raw.get("state") != "open":
        return
    live = live_workers(redis, raw.get("owner", "").rpartition("/")[0], event_id)
    for each in unended(indexes_of(raw), intents_of(raw), now_ms):
        if each.pop("pod_uid", ""):
            each["pod"] = pod_name(instance, event_id, each["index"], each["attempt"])
            each.update(live.get(each["index"], {}))
            if each["state"] == "begun":
                each["state"] = "running" if each.get("started_at") else "starting"
        yield _worker(**each)
