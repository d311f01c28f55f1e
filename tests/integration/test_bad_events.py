"""Bad events: a dead letter with a sentence and all fields, acknowledged; good events beside them run."""

from __future__ import annotations

import re
from typing import Any

import redis

from tests.harness.cluster_state import served
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

one_replica = served(OTTO_MAX_EVENT_BYTES="20000", OTTO_MAX_PODS_PER_EVENT="50")

BAD: dict[str, tuple[dict[Any, Any], str]] = {  # fields, and what the sentence must name
    "no type": ({"pod_count": "1"}, "type"),
    "unknown type": ({"type": "scale_sideways", "pod_count": "1"}, "scale_up or scale_down"),
    "type in another case": ({"type": "Scale_Up", "pod_count": "1"}, "type"),
    "no count": ({"type": "scale_up"}, "pod_count"),
    "count of zero": ({"type": "scale_up", "pod_count": "0"}, "1 to 50"),
    "negative count": ({"type": "scale_up", "pod_count": "-1"}, "pod_count"),
    "count above the limit": ({"type": "scale_up", "pod_count": "51"}, "50"),
    "count that is no number": ({"type": "scale_up", "pod_count": "three"}, "three"),
    "count with a fraction": ({"type": "scale_up", "pod_count": "1.0"}, "pod_count"),
    "long task id": ({"type": "scale_up", "pod_count": "1", "task_id": "t" * 257}, "256"),
    "forbidden image": ({"type": "scale_up", "pod_count": "1", "image": "busybox.evil.io/x"}, "image"),
    "malformed JSON": ({"type": "scale_up", "pod_count": "1", "env": '{"A": '}, "JSON"),
    "env that is a list": ({"type": "scale_up", "pod_count": "1", "env": '["A"]'}, "env"),
    "env with a number": ({"type": "scale_up", "pod_count": "1", "env": '{"A": 1}'}, "string"),
    "reserved env": ({"type": "scale_up", "pod_count": "1", "env": '{"OTTO_EVENT_ID": "x"}'}, "reserved"),
    "command of numbers": ({"type": "scale_up", "pod_count": "1", "command": '["sh", 1]'}, "command"),
    "cpu above the limit": ({"type": "scale_up", "pod_count": "1", "cpu": "9"}, "cpu"),
    "memory that is no quantity": ({"type": "scale_up", "pod_count": "1", "memory": "lots"}, "memory"),
    "timeout above the limit": ({"type": "scale_up", "pod_count": "1", "timeout_seconds": "86401"}, "86400"),
    "retries above the limit": ({"type": "scale_up", "pod_count": "1", "max_retries": "11"}, "10"),
    "priority that is no number": ({"type": "scale_up", "pod_count": "1", "priority": "high"}, "priority"),
    "unknown profile": ({"type": "scale_up", "pod_count": "1", "profile": "gpu"}, "gpu"),
    "profile that is a path": ({"type": "scale_up", "pod_count": "1", "profile": "../x"}, "profile"),
    "expired": ({"type": "scale_up", "pod_count": "1", "expires_at": "1000000000"}, "expired"),
    "milliseconds": ({"type": "scale_up", "pod_count": "1", "expires_at": "1767225600000"}, "milliseconds"),
    "field misspelt": ({"type": "scale_up", "pod_count": "1", "comand": "x"}, "did you mean command?"),
    "another system's word": ({"type": "scale_up", "replicas": "1"}, "did you mean pod_count?"),
    "a field that no event has": ({"type": "scale_up", "pod_count": "1", "labels": "x"}, "cannot set it"),
    "the event as JSON": ({"data": '{"type": "scale_up", "pod_count": 1}'}, "are flat"),
    "too large": ({"type": "scale_up", "pod_count": "1", "note": "x" * 20001}, "20000"),
    "not UTF-8": ({b"type": b"scale_up", b"pod_count": b"1", b"branch": b"caf\xe9"}, "UTF-8"),
    "a name that is not UTF-8": ({b"type": b"scale_up", b"pod_count": b"1", b"\xff": b"x"}, "UTF-8"),
    "scale_down of nothing": ({"type": "scale_down"}, "task_id and pod_count"),
    "scale_down of zero": ({"type": "scale_down", "pod_count": "0"}, "pod_count"),
    "scale_down with a wrong word": ({"type": "scale_down", "pod_count": "1", "running": "stop"}, "keep"),
    "expired scale_down": ({"type": "scale_down", "pod_count": "1", "expires_at": "1"}, "expired"),
}


def raw(place: Sandbox) -> Any:
    """A client that decodes nothing."""
    return redis.Redis.from_url(place.redis_server.url, socket_timeout=20)


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def test_each_is_dead_lettered_whole_with_a_sentence_and_the_good_ones_run(one_replica: Sandbox) -> None:
    place = one_replica
    client = raw(place)
    before = place.scale_up(1)
    ids = {name: client.xadd("otto:scale:events", fields).decode() for name, (fields, _) in BAD.items()}
    after = place.scale_up(1)
    assert place.wait_event(after)["status"] == "succeeded"
    assert place.wait_event(before)["status"] == "succeeded"
    wait_for(lambda: client.xlen("otto:scale:dead") >= len(BAD), "all are dead-lettered")
    letters = {fields[b"event_id"].decode(): fields for _, fields in client.xrange("otto:scale:dead")}
    for name, (fields, word) in BAD.items():
        letter = letters[ids[name]]
        sentence = letter[b"error"].decode()
        assert word in sentence, (name, sentence)
        assert len(sentence) > 15, (name, sentence)
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", letter[b"at"])
        told = {k[len(b"field:") :]: v for k, v in letter.items() if k.startswith(b"field:")}
        assert told == {as_bytes(k): as_bytes(v) for k, v in fields.items()}, name
        assert list(letter)[:4] == [b"event_id", b"task_id", b"error", b"at"]
        assert set(letter) == set(list(letter)[:4]) | {b"field:" + k for k in told}
    assert client.xlen("otto:scale:dead") == len(BAD)
    place.wait_nothing_pending()
    assert place.results("event") == [e for e in place.results("event") if e["event_id"] in (before, after)]
    client.close()


def test_every_wrong_field_of_one_event_is_named_and_secrets_are_not(one_replica: Sandbox) -> None:
    place = one_replica
    event_id = place.send(
        "scale_up",
        pod_count="-4",
        priority="x",
        cpu="much",
        env='{"TOKEN": 7, "OTTO_X": "shh-331"}',
        args='["shh-332", 4]',
    )
    letter = place.wait_dead(event_id)
    for name in ("pod_count", "priority", "cpu", "env", "args"):
        assert name in letter["error"]
    assert "shh-33" not in letter["error"]
    for replica in place.replicas:
        assert "shh-33" not in replica.log()


def test_events_of_thousands_of_fields_are_dead_lettered_whole(one_replica: Sandbox) -> None:
    place = one_replica
    client = raw(place)
    many, more = ({"type": "scale_up", **{f"{i:x}": "" for i in range(count)}} for count in (2900, 4900))
    ids = [client.xadd("otto:scale:events", fields).decode() for fields in (many, more)]
    good = place.scale_up(1)
    letter = place.wait_dead(ids[0])
    assert {k.removeprefix("field:"): v for k, v in letter.items() if k.startswith("field:")} == many
    # More than a script can unpack.
    letter = place.wait_dead(ids[1])
    assert "pod_count" in letter["error"]
    assert {k.removeprefix("field:"): v for k, v in letter.items() if k.startswith("field:")} == more
    assert place.wait_event(good)["status"] == "succeeded"
    place.wait_nothing_pending()
    client.close()
