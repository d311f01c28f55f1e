"""Stream entries as data."""

from __future__ import annotations

from ottoscaler.client.entries import DeadLetter, EventResult, WorkerResult, result_of
from ottoscaler.client.errors import DeadLettered
from ottoscaler.client.fields import with_dedup_key
from ottoscaler.ledger.records import Entry, Record


def entry(**fields: str) -> Entry:
    return Entry("5-0", tuple((name.encode(), value.encode()) for name, value in fields.items()))


def test_a_workers_entry_is_read_with_its_types() -> None:
    told = result_of(
        entry(
            kind="worker",
            event_id="1-0",
            task_id="t",
            index="2",
            attempt="1",
            pod="p",
            status="failed",
            reason="Error",
            exit_code="3",
            message="m",
            metadata='{"a": "b"}',
        )
    )
    assert isinstance(told, WorkerResult)
    assert (told.index, told.attempt, told.exit_code, told.metadata) == (2, 1, 3, {"a": "b"})
    assert (told.id, told.node, told.started_at) == ("5-0", "", "")
    assert told.document()["kind"] == "worker"


def test_empty_numbers_are_none() -> None:
    told = result_of(entry(kind="event", event_id="1-0", type="scale_down", status="succeeded", pod_count=""))
    assert isinstance(told, EventResult)
    assert (told.pod_count, told.cancelled, told.duration_ms, told.of) == (None, 0, None, "")


def test_an_unknown_kind_is_left_out() -> None:
    assert result_of(entry(kind="news", event_id="1-0")) is None


def test_metadata_that_is_no_object_is_none() -> None:
    told = result_of(entry(kind="event", event_id="1-0", metadata="["))
    assert told is not None
    assert told.metadata == {}


def test_a_dead_letter_names_its_task() -> None:
    fields = {"event_id": "1-0", "error": "e", "at": "now", "field:type": "scale_up"}
    assert DeadLetter.of(entry(**fields)).task_id == "1-0"
    assert DeadLetter.of(entry(**fields, task_id="told")).task_id == "told"


def test_no_repr_shows_what_a_producer_sent() -> None:
    """An exception or a log line may hold the repr; a dead letter's fields may hold secrets."""
    fields = ((b"field:env", b'{"TOKEN": "s3cr3t"}'), (b"error", b"bad"))
    sent = Entry("7-0", fields)
    letter = DeadLetter.of(sent)
    record = Record("1-0", 1, 0, b'[["env", "s3cr3t"]]')
    assert "s3cr3t" in letter.field("env")
    assert "s3cr3t" not in repr([letter, sent, record])
    assert "s3cr3t" not in repr(DeadLettered("bad", letter))


def test_empty_dedup_key_is_none_so_one_is_made() -> None:
    fields = [(b"type", b"scale_up"), (b"dedup_key", b"")]
    made = with_dedup_key(fields)
    assert [name for name, _ in made] == [b"type", b"dedup_key"]
    assert made[1][1]
    assert with_dedup_key(made) == made
