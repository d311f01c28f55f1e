"""Indexes' states and intents, as the scripts write them."""

from __future__ import annotations

import pytest

from ottoscaler.errors import BrokenKey
from ottoscaler.ledger.records import IndexStage, IndexState, Intent, Record, Reply, Word


def test_states_are_read_as_the_scripts_write_them() -> None:
    assert IndexState.parse("s:2:uid-1") == IndexState(IndexStage.BEGUN, 2, uid="uid-1")
    assert IndexState.parse("w:3:1795:node-1") == IndexState(
        IndexStage.WAITING, 3, due_ms=1795, avoid_node="node-1"
    )
    assert IndexState.parse("d:0:failed:uid-2") == IndexState(
        IndexStage.DONE, 0, uid="uid-2", status="failed"
    )


def test_intents_reason_may_hold_colons() -> None:
    assert Intent.parse("1795:17-0:because: so").why == "because: so"


@pytest.mark.parametrize("raw", ["junk", "", "soon:17-0:why", f"{'9' * 5000}:17-0:why"])
def test_intent_that_no_replica_wrote_is_told_as_a_broken_key(raw: str) -> None:
    """Before, the worker's thread saw a bug of ours in it, and forgot the worker."""
    with pytest.raises(BrokenKey, match="intent in the ledger holds what no replica wrote"):
        _ = Reply(Word.CANCELLING, raw).intent


@pytest.mark.parametrize(
    ("name", "word"),
    [("n", "1000000000"), ("i:100000000000000", "s:0:"), ("c:100000000000000", "1:17-0:why")],
)
def test_ledger_with_more_workers_than_any_setting_allows_is_a_broken_key(name: str, word: str) -> None:
    with pytest.raises(BrokenKey, match="ledger of event 17-0 holds what no replica wrote"):
        Record.parse("17-0", "1", [name.encode(), word.encode()])


def test_scale_down_may_take_more_workers_away_than_one_event_has() -> None:
    flat = [b"type", b"scale_down", b"n", b"1000000"]
    assert Record.parse("17-0", "1", flat).count == 1_000_000
