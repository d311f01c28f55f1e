"""``status``: replicas, events in flight, backlog, failures and dead letters. Reads Redis only."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ottoscaler.cli.redis_access import Failed, redis_settings
from ottoscaler.cli.snapshot import SnapshotReader
from ottoscaler.cli.terminal import age, columns, safe, say
from ottoscaler.client.sentences import sentence
from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_client import RedisClient

EVENTS_SHOWN = 40  # lines of the table; --json has up to snapshot.MOST_EVENTS
HOME_AND_CLEAR = "\x1b[H\x1b[2J\x1b[3J"

Json = dict[str, Any]


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """0; with ``--watch``, until Ctrl-C."""
    settings = redis_settings(environ)
    reader = SnapshotReader(RedisClient(settings), settings)
    while True:
        try:
            _show(reader.read(), as_json=arguments.json, watching=arguments.watch is not None)
        except RedisError as error:
            if arguments.watch is None:
                raise Failed(sentence(settings, error)) from error
            say(sentence(settings, error))
        if arguments.watch is None:
            return 0
        time.sleep(arguments.watch)


def _show(snapshot: Json, *, as_json: bool, watching: bool) -> None:
    if as_json:
        print(json.dumps(snapshot, ensure_ascii=False, indent=None if watching else 2), flush=True)
        return
    if watching and sys.stdout.isatty():
        print(HOME_AND_CLEAR, end="")
    print("\n".join(render(snapshot)), flush=True)
    if watching and not sys.stdout.isatty():
        print()


def render(snapshot: Json) -> Iterator[str]:
    """A snapshot as lines for people."""
    yield f"{snapshot['stream']}, group {snapshot['group']}, at {snapshot['at']}"
    if not snapshot["installation"]:
        yield "no replica has registered in this Redis yet"
    if snapshot["paused"]:
        yield f"PAUSED since {safe(snapshot['paused_since'])}: no worker is begun until `ottoscaler resume`"
    yield from _replicas(snapshot["replicas"])
    yield from _backlog(snapshot["backlog"])
    yield from _events(snapshot["events"], snapshot["events_in_flight"])
    yield from _failures(snapshot["recent_failures"])
    yield from _dead(snapshot["dead_letters"])


def _replicas(replicas: list[Json]) -> Iterator[str]:
    alive = sum(each["state"] != "silent" for each in replicas)
    yield ""
    yield f"Replicas: {alive} alive, {len(replicas) - alive} silent"
    if not replicas:
        yield "  none: events wait until a service starts"
        return
    rows = [
        (
            safe(each["consumer"]),
            each["state"],
            f"{_or_unknown(each['workers'])}/{_or_unknown(each['workers_max'])}",
            _or_unknown(each["events_in_hand"]),
            f"{each['lease_seconds']:g}s" if each["lease_seconds"] is not None else "?",
            each["last_beat_at"] or "?",
        )
        for each in replicas
    ]
    yield from columns(("consumer", "state", "slots", "in hand", "lease", "last beat"), rows)


def _backlog(backlog: Json) -> Iterator[str]:
    lag = "an unknown number" if backlog["lag"] is None else backlog["lag"]
    yield ""
    yield f"Stream: {lag} not read yet, {backlog['pending']} read but not finished"
    if backlog["lost"]:
        yield f"  {backlog['lost']} were removed from the stream before they were read; see the dead letters"
    oldest = backlog["oldest_pending"]
    if oldest:
        reader = safe(oldest["consumer"])
        yield f"  oldest: {oldest['event_id']}, {age(oldest['age_seconds'])}, read by {reader}"


def _events(events: list[Json], total: int) -> Iterator[str]:
    yield ""
    yield f"Events in flight: {total}"
    rows = [
        (
            each["event_id"],
            each["type"],
            safe(each["task_id"], 30) or "-",
            age(each["age_seconds"]),
            safe(each["owner"], 30) or ("on offer" if each["offered"] else "nobody"),
            _workers(each),
        )
        for each in events[:EVENTS_SHOWN]
    ]
    if rows:
        yield from columns(("event", "type", "task", "age", "owner", "workers"), rows)
    if total > EVENTS_SHOWN:
        yield f"  … and {total - EVENTS_SHOWN} younger ones"


def _workers(event: Json) -> str:
    counts = [f"{count} {word.replace('_', ' ')}" for word, count in event["counts"].items() if count]
    text = ", ".join(counts) or "none"
    later = sum(worker["attempt"] > 0 for worker in event["workers"])
    if later:
        text += f" ({later} in a later attempt)"
    if event["strikes"]:
        text += f"; strikes: {event['strikes']}"
    return text


def _failures(failures: list[Json]) -> Iterator[str]:
    if not failures:
        return
    yield ""
    yield "Recent failures"
    rows = [
        (
            each["finished_at"],
            each["event_id"],
            str(each["index"]),
            safe(each["task_id"], 30),
            each["reason"],
            "-" if each["exit_code"] is None else str(each["exit_code"]),
            safe(each["message"], 100),
        )
        for each in failures
    ]
    yield from columns(("at", "event", "index", "task", "reason", "exit", "message"), rows)


def _dead(letters: Json) -> Iterator[str]:
    yield ""
    yield f"Dead letters: {letters['total']}"
    rows = [(each["at"], each["event_id"], safe(each["error"], 100)) for each in letters["newest"]]
    if rows:
        yield from columns(("at", "event", "error"), rows)
        yield "  `ottoscaler dead list` shows more"


def _or_unknown(value: Any) -> str:
    return "?" if value is None else str(value)
