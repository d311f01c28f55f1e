"""Whether a Pod is gone: every presence has a row, every row decides one, and the docs show them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from ottoscaler.model import Phase
from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.gone_table import TABLE, Gone, LastSeen, Presence, last_seen, look_up, render_table

POD = parse_pod({})._replace(node="node-1")


def test_every_sight_has_a_row_and_every_row_decides_some_sight() -> None:
    used = {TABLE.index(look_up(*case)) for case in product(Presence, LastSeen)}
    assert used == set(range(len(TABLE)))


def test_only_the_api_server_tells_that_a_pod_that_may_run_is_gone() -> None:
    for presence in Presence:
        gone = look_up(presence, LastSeen.ALIVE).gone
        assert (gone is Gone.YES) == (presence is Presence.ANSWERED_GONE), presence


def test_how_a_pod_was_last_seen() -> None:
    assert last_seen(None) is LastSeen.ALIVE
    assert last_seen(POD) is LastSeen.ALIVE
    assert last_seen(POD._replace(phase=Phase.FAILED)) is LastSeen.ENDED
    assert last_seen(POD._replace(deleting=True)) is LastSeen.GOING_UNSTARTED
    assert last_seen(POD._replace(deleting=True, node="")) is LastSeen.GOING_UNBOUND
    assert last_seen(POD._replace(deleting=True, started_at="2026-01-01T00:00:00Z")) is LastSeen.ALIVE


def test_documented_table_is_the_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "reliability.md").read_text(encoding="utf-8")
    mark = "<!-- generated: ottoscaler.workers.gone_table.render_table -->\n\n"
    assert document.partition(mark)[2].partition("<!-- end")[0] == render_table()
