"""``dead``: shows events that could not be carried out, sends them again, or drops them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

from ottoscaler.cli.redis_access import Failed, redis_settings
from ottoscaler.cli.terminal import columns, json_text, safe, say
from ottoscaler.client.sentences import sentence
from ottoscaler.errors import RedisError
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.status.dead_letters import DeadLetters
from ottoscaler.status.untold import letter_told

SCHEMA_VERSION = 1
DROPPED_AT_ONCE = 500
LONGEST_ERROR = 120  # characters of an error in the table; --json has all of it

_WORDS = {
    "gone": "no longer exists",
    "unreadable": "cannot be replayed: its fields cannot be read",
    "empty": "cannot be replayed: nobody read the fields of its event",
    "cut": "cannot be replayed: only the first fields of its event were read",
    "large": "cannot be replayed: it has more fields than one command can carry",
    "wiped": "was not replayed: Redis was emptied or failed over meanwhile; try again",
}


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0 if all is done, and 1 if Redis is unavailable or some ids could not be processed."""
    settings = redis_settings(environ)
    box = DeadLetters(RedisClient(settings))
    try:
        if arguments.verb == "list":
            return _list(box, arguments.count, arguments.json)
        ids, missing = box.everything(), 0
        if not arguments.all:
            ids, missing = _named(arguments.ids, box)
        served = _replay(box, ids) if arguments.verb == "replay" else _drop(box, ids)
    except RedisError as error:
        raise Failed(sentence(settings, error)) from error
    return 1 if missing or not served else 0


def _list(box: DeadLetters, count: int, as_json: bool) -> int:
    letters, total = box.newest(count), box.length()
    if as_json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "total": total,
            "dead_letters": [letter.document() for letter in letters],
        }
        print(json_text(document, indent=2))
        return 0
    if not letters:
        print("no dead letters")
        return 0
    rows = [
        (
            letter.id,
            letter.event_id,
            letter.at,
            safe(letter.field("type"), 12) or "-",
            safe(letter.field("task_id"), 30) or "-",
            safe(letter_told(letter.document())["error"], LONGEST_ERROR),
        )
        for letter in letters
    ]
    print("\n".join(columns(("id", "event", "at", "type", "task", "error"), rows, indent="")))
    if total > len(letters):
        say(f"the newest {len(letters)} of {total}; --count shows more")
    return 0


def _named(words: Sequence[str], box: DeadLetters) -> tuple[Iterator[str], int]:
    found = box.named(words)
    missing = [word for word, ids in found.items() if not ids]
    for word in missing:
        say(f"no dead letter has the id {safe(word)}, and none is for an event with that id")
    return iter(dict.fromkeys(letter for ids in found.values() for letter in ids)), len(missing)


def _replay(box: DeadLetters, letter_ids: Iterator[str]) -> bool:
    every, count = True, 0
    for letter_id in letter_ids:
        word, old, new = box.replay(letter_id)
        if word == "ok":
            count += 1
            print(f"{old} -> {new}", flush=True)
        else:
            every = False
            say(f"dead letter {letter_id} {_WORDS.get(word, word)}")
    print(f"{count} replayed", file=sys.stderr)
    return every


def _drop(box: DeadLetters, letter_ids: Iterator[str]) -> bool:
    ids = list(letter_ids)
    count = sum(box.drop(ids[at : at + DROPPED_AT_ONCE]) for at in range(0, len(ids), DROPPED_AT_ONCE))
    print(f"{count} dropped", flush=True)
    return count == len(ids)
