"""``status``: shows replicas, events in flight, backlog, failures and dead letters. It only reads Redis."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from ottoscaler.cli.redis_access import Failed, redis_settings
from ottoscaler.cli.status_web import print_address
from ottoscaler.cli.terminal import Screen, age, columns, json_text, lively, safe, say
from ottoscaler.client.sentences import sentence
from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import JsonObject
from ottoscaler.status.snapshot import SnapshotReader

EVENTS_SHOWN = 40  # lines of a table; --json has up to snapshot.MOST_EVENTS
# Lines of each table, and whether blank lines separate the tables. Tried in this order until all fits.
FEWER = (
    *((most, True) for most in (EVENTS_SHOWN, 20, 10, 7, 5, 4)),
    *((most, False) for most in (5, 4, 3, 2, 1)),
)
LONGEST_OWN = 30  # columns of a task's id or a consumer's name
LONGEST_CONSUMER = 26  # the usual length of the names of a Deployment's Pods
NARROW = 120  # on a screen with fewer columns, those names get half as many


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0. With ``--watch``, it goes on until Ctrl-C."""
    settings = redis_settings(environ)
    if arguments.web:
        try:
            return print_address(RedisClient(settings))
        except RedisError as error:
            raise Failed(sentence(settings, error)) from error
    reader = SnapshotReader(RedisClient(settings))
    if arguments.watch is None:
        try:
            _print(reader.read(), arguments.json)
        except RedisError as error:
            raise Failed(sentence(settings, error)) from error
        return 0
    screen = Screen(sys.stdout) if lively(sys.stdout) and not arguments.json else None
    with screen or nullcontext():
        while True:
            try:
                snapshot = reader.read()
                if screen is not None:
                    screen.show(fitting(snapshot, *screen.size()))
                else:
                    _print(snapshot, arguments.json, watching=True)
            except RedisError as error:
                told = sentence(settings, error)
                if screen is not None:
                    wide, _ = screen.size()
                    screen.show([told[at : at + wide] for at in range(0, len(told), wide)])
                else:
                    say(told)
            time.sleep(arguments.watch)


def _print(snapshot: JsonObject, as_json: bool, *, watching: bool = False) -> None:
    if as_json:
        print(json_text(snapshot, indent=None if watching else 2), flush=True)
        return
    print("\n".join(render(snapshot)), flush=True)
    if watching:
        print(flush=True)


def fitting(snapshot: JsonObject, wide: int, high: int) -> list[str]:
    """The lines for a screen of this size. If not all fits, the tables are shorter. The events come last."""
    own = LONGEST_OWN if wide >= NARROW else LONGEST_OWN // 2
    lines: list[str] = []
    for most, parted in FEWER:
        lines = [line for line in render(snapshot, most, most, own) if line or parted]
        if len(lines) <= high:
            events = min(EVENTS_SHOWN, most + high - len(lines))
            return [line for line in render(snapshot, most, events, own) if line or parted]
    return lines


def render(
    snapshot: JsonObject, most: int = EVENTS_SHOWN, most_events: int = EVENTS_SHOWN, own: int = LONGEST_OWN
) -> Iterator[str]:
    """A snapshot as lines for people. A table has at most ``most`` lines (that of the events
    ``most_events``), and a name at most ``own`` columns."""
    yield f"{snapshot['stream']}, group {snapshot['group']}, at {snapshot['at']}"
    if not snapshot["installation"]:
        yield "no replica has registered in this Redis yet"
    if snapshot["paused"]:
        yield f"PAUSED since {safe(snapshot['paused_since'])}: no worker is begun until `ottoscaler resume`"
    for each in snapshot["broken_keys"][:most]:
        yield f"BROKEN: {safe(each['key'])} is a {each['type']}, expected a {each['expected']}"
    yield from _replicas(snapshot["replicas"], most, own)
    yield from _backlog(snapshot["backlog"])
    yield from _events(snapshot["events"][:most_events], snapshot["events_in_flight"], own)
    yield from _failures(snapshot["recent_failures"][:most], own)
    yield from _dead(snapshot["dead_letters"], most, own)


def _replicas(replicas: list[JsonObject], most: int, own: int) -> Iterator[str]:
    alive = sum(each["state"] != "silent" for each in replicas)
    yield ""
    yield f"Replicas: {alive} alive, {len(replicas) - alive} silent"
    if not replicas:
        yield "  none: events wait until a service starts"
        return
    rows = [
        (
            safe(each["consumer"], max(own, LONGEST_CONSUMER)),
            each["state"],
            f"{_or_unknown(each['workers'])}/{_or_unknown(each['workers_max'])}",
            _or_unknown(each["events_in_hand"]),
            f"{each['lease_seconds']:g}s" if each["lease_seconds"] is not None else "?",
            _when(each["last_beat_at"], own) or "?",
        )
        for each in replicas[:most]
    ]
    yield from columns(("consumer", "state", "slots", "in hand", "lease", "last beat"), rows)
    yield from _left_out(len(replicas) - len(rows))


def _left_out(number: int, which: str = "more") -> Iterator[str]:
    if number > 0:
        yield f"  … and {number} {which}"


def _backlog(backlog: JsonObject) -> Iterator[str]:
    lag = "an unknown number" if backlog["lag"] is None else backlog["lag"]
    yield ""
    yield f"Stream: {lag} not read yet, {backlog['pending']} read but not finished"
    if backlog["lost"]:
        yield f"  {backlog['lost']} removed from the stream unread; see the dead letters"
    oldest = backlog["oldest_pending"]
    if oldest:
        reader = safe(oldest["consumer"])
        yield f"  oldest: {oldest['event_id']}, {age(oldest['age_seconds'])}, read by {reader}"


def _events(events: Sequence[JsonObject], total: int, own: int) -> Iterator[str]:
    yield ""
    yield f"Events in flight: {total}"
    rows = [
        (
            each["event_id"],
            safe(each["task_id"], own) or "-",
            age(each["age_seconds"]),
            _workers(each),
            each["type"],
            safe(each["owner"], own) or ("on offer" if each["offered"] else "nobody"),
        )
        for each in events
    ]
    if rows:
        yield from columns(("event", "task", "age", "workers", "type", "owner"), rows)
    yield from _left_out(total - len(rows), "younger ones")


def _workers(event: JsonObject) -> str:
    counts = [f"{count} {word.replace('_', ' ')}" for word, count in event["counts"].items() if count]
    text = ", ".join(counts) or "none"
    later = sum(worker["attempt"] > 0 for worker in event["workers"])
    if later:
        text += f" ({later} in a later attempt)"
    if event["strikes"]:
        text += f"; strikes: {event['strikes']}"
    return text


def _failures(failures: Sequence[JsonObject], own: int) -> Iterator[str]:
    if not failures:
        return
    yield ""
    yield "Recent failures"
    rows = [
        (
            _when(each["finished_at"], own),
            each["event_id"],
            str(each["index"]),
            safe(each["task_id"], own),
            each["reason"],
            "-" if each["exit_code"] is None else str(each["exit_code"]),
            safe(each["message"], 100),
        )
        for each in failures
    ]
    yield from columns(("at", "event", "index", "task", "reason", "exit", "message"), rows)


def _dead(letters: JsonObject, most: int, own: int) -> Iterator[str]:
    yield ""
    yield f"Dead letters: {letters['total']}"
    rows = [
        (_when(each["at"], own), each["event_id"], safe(each["error"], 100))
        for each in letters["newest"][:most]
    ]
    if rows:
        yield from columns(("at", "event", "error"), rows)
        yield "  `ottoscaler dead list` shows more"


def _when(moment: str, own: int) -> str:
    """An RFC 3339 time. If there is little room, it has no year and no milliseconds."""
    return moment if own == LONGEST_OWN else moment[5:19]


def _or_unknown(value: Any) -> str:
    return "?" if value is None else str(value)
