"""Unknown fields: what reads like a known one is never taken for metadata, and metadata is left in peace."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ottoscaler.errors import BadEvent
from ottoscaler.events import field_names
from ottoscaler.events.field_names import NO_FIELD, OTHER_WORDS
from tests.harness.parsed_events import LIMITS, bad, down, read, sentence, up

DOCS = Path(__file__).parents[3] / "docs"
AS_METADATA = replace(LIMITS, unknown_fields="metadata")
REFUSED = replace(LIMITS, unknown_fields="refuse")
UP = {"type": "scale_up", "pod_count": "3"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Image", "image"),
        ("COMMAND", "command"),
        ("task-id", "task_id"),
        ("taskId", "task_id"),
        ("taskid", "task_id"),
        ("podcount", "pod_count"),
        ("timeoutSeconds", "timeout_seconds"),
        ("timout_seconds", "timeout_seconds"),
        ("timeout_second", "timeout_seconds"),
        ("timeout_secondss", "timeout_seconds"),
        ("comand", "command"),
        ("commmand", "command"),
        ("imgae", "image"),
        ("memroy", "memory"),
        ("memery", "memory"),
        ("profle", "profile"),
        ("prioriti", "priority"),
        ("max_retires", "max_retries"),
        ("expire_at", "expires_at"),
        ("envs", "env"),
        ("evn", "env"),
        ("cpus", "cpu"),
        ("agrs", "args"),
        ("cmd", "command"),
        ("timeout", "timeout_seconds"),
        ("retries", "max_retries"),
        ("replicas", "pod_count"),
        ("count", "pod_count"),
        ("ttl", "expires_at"),
        ("activeDeadlineSeconds", "timeout_seconds"),
        ("env ", "env"),
        ("--image", "image"),
    ],
)
def test_field_that_reads_like_a_known_one_is_a_bad_event_with_what_was_meant(name: str, meant: str) -> None:
    told = bad(**{name: "shh-1"})
    assert f"did you mean {meant}?" in told
    assert "shh-1" not in told
    assert f"meta:{name}" in told or f"'meta:{name}'" in told
    with_mark = up(**{f"meta:{name}": "x"})
    assert with_mark.metadata == {name: "x"}


@pytest.mark.parametrize(
    "name",
    [
        "git_ref", "branch", "user", "team", "commit", "type_of_build", "sha", "repo", "log", "end",
        "eng", "tape", "tags", "job", "job_id", "build_id", "run_id", "name", "id", "stage",
        "usage", "message", "reason", "kind", "event", "url", "region", "version", "gpu_model",
        "pod", "node", "tenant", "project", "owner", "path", "label", "note", "priority_note",
        "image_digest", "command_line_tool", "環境env", "日本", "running", "", "environment",
        "deadline", "started_at", "trace_id", "traceparent", "cost_center", "runner",
    ],
)  # fmt: skip
def test_plain_metadata_raises_no_false_alarm(name: str) -> None:
    assert up(**{name: "x"}).metadata == {name: "x"}
    if name != "running":
        assert down(task_id="t", **{name: "x"}).metadata == {name: "x"}


def test_environment_is_metadata_unless_it_holds_variables() -> None:
    assert up(environment="production").metadata == {"environment": "production"}
    for value in ('{"A": "b"}', "A=b", ' ["A=b"]'):
        assert "environment: not a field; did you mean env?" in bad(environment=value)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("en", '{"A": "b"}', "env"),
        ("emv", "A=b", "env"),
        ("ars", '["a"]', "args"),
        ("typ", "scale_up", "type"),
    ],
)
def test_short_name_one_letter_off_is_told_by_its_value(name: str, value: str, meant: str) -> None:
    assert f"did you mean {meant}?" in bad(**{name: value})
    assert up(**{name: "main"}).metadata == {name: "main"}


def test_every_word_of_another_system_is_told_with_the_field_or_why_there_is_none() -> None:
    for field, words in OTHER_WORDS.items():
        for word in words:
            value = "A=b" if field == "env" else "1"
            if field == "type":
                told = sentence({word: "scale_up", "pod_count": "1"})
            elif field == "running":
                continue
            else:
                told = bad(**{word: value})
            assert f"{word}: not a field; did you mean {field}?" in told
    for why, words in NO_FIELD.items():
        for word in words:
            told = bad(**{word: "1"})
            assert f"{word}: an event cannot set it: {why}" in told


def test_scale_down_knows_the_words_for_its_own_fields() -> None:
    def told(**fields: str) -> str:
        return sentence({"type": "scale_down", "task_id": "t", **fields})

    assert "did you mean running?" in told(keep_running="true")
    assert "did you mean pod_count?" in told(replicas="2")
    assert "did you mean image?" in told(Image="x")
    assert "an event cannot set it" in told(namespace="ci")
    assert "taskId: not a field; did you mean task_id?" in sentence({"type": "scale_down", "taskId": "t"})
    assert down(task_id="t", cmd="x").metadata == {"cmd": "x"}


def test_type_under_another_name_is_found() -> None:
    assert "did you mean type?" in sentence({"Type": "scale_up", "pod_count": "1"})
    assert "did you mean type?" in sentence({"action": "scale_up", "pod_count": "1"})
    assert up(action="push").metadata == {"action": "push"}
    assert sentence({"branch": "main"}) == "type: missing; expected scale_up or scale_down"


def test_json_object_in_one_field_is_told_that_fields_are_flat() -> None:
    told = sentence({"data": ' {"type": "scale_up", "pod_count": 3, "env": {"TOKEN": "shh-1"}}'})
    assert "Field 'data' holds a JSON object with a type in it, but an event's fields are flat" in told
    assert "shh-1" not in told
    assert "flat" not in sentence({"data": '{"kind": "x"}'})


def test_mark_makes_metadata_of_anything_but_once() -> None:
    marked = up(**{"meta:cmd": "x", "meta:meta:y": "z", "branch": "main"})
    assert list(marked.metadata.items()) == [("cmd", "x"), ("meta:y", "z"), ("branch", "main")]
    assert "meta:branch: given together with branch" in bad(branch="a", **{"meta:branch": "b"})
    assert "meta:task_id: given together with task_id" in bad(task_id="a", **{"meta:task_id": "b"})
    assert "meta:: no name; expected meta:NAME" in bad(**{"meta:": "x"})
    assert "did you mean meta:branch?" in bad(**{"Meta:branch": "x"})
    with pytest.raises(BadEvent, match="no name"):
        read({**UP, "meta:": "x"}, AS_METADATA)


def test_old_way_takes_every_unknown_field_for_metadata() -> None:
    event = read({**UP, "cmd": "x", "Image": "y", "meta:labels": "z"}, AS_METADATA)
    assert event.metadata == {"cmd": "x", "Image": "y", "labels": "z"}


def test_strict_way_refuses_every_unknown_field_that_is_not_marked() -> None:
    told = sentence({**UP, "branch": "main", "cmd": "x", "meta:user": "y"}, REFUSED)
    assert "branch: not a field of this event; for metadata, write meta:branch" in told
    assert "cmd: not a field; did you mean command?" in told
    assert "user" not in told
    assert "for metadata, write meta:NAME" in sentence({**UP, "": "x"}, REFUSED), "meta: alone is refused"
    assert read({**UP, "meta:user": "y"}, REFUSED).metadata == {"user": "y"}


def test_thousands_of_unknown_fields_make_one_short_sentence_in_little_time() -> None:
    limits = replace(REFUSED, max_event_bytes=10**7)
    fields = {**UP, **{f"timeout_second{i}": "" for i in range(20_000)}}
    begun = time.process_time()
    told = sentence(fields, limits)
    assert len(told) < 1500
    assert "and 19992 fields more" in told
    for name in ("t" * 500_000, "-" * 500_000, "meta:" * 100_000):
        with suppress(BadEvent):
            read({**UP, name: ""}, limits)
    assert time.process_time() - begun < 3.0


def test_names_are_shown_short_and_printable() -> None:
    told = bad(**{"im\x1b[31mage": "x", "Meta:" + "x" * 1000: ""})
    assert told.isprintable()
    assert len(told) < 400


def test_documents_show_the_table_that_the_code_has() -> None:
    assert field_names.render_table() in (DOCS / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("memory", "512m", "did you mean 512Mi?"),
        ("memory", "512MB", "did you mean 512Mi?"),
        ("memory", "1.5 gb", "did you mean 1.5Gi?"),
        ("cpu", "500M", "did you mean 500m?"),
        ("env", "A=b", 'expected a JSON object of strings, such as {"KEY": "value"}'),
        (
            "expires_at",
            "1767225600000",
            "'1767225600000', which reads like milliseconds; expected Unix seconds, such as 1767225600",
        ),
        ("expires_at", "100000000001", "reads like milliseconds"),
    ],
)
def test_value_in_another_systems_form_is_told_the_right_form(field: str, value: str, words: str) -> None:
    assert words in bad(**{field: value})


def test_last_second_is_no_millisecond() -> None:
    assert up(expires_at="100000000000").expires_at == 10**11
