"""The table of leftover Pods: every case has a row, every row has a case, and the docs show it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from ottoscaler.controller.leftovers import (
    TABLE,
    EventSays,
    Fate,
    IndexSays,
    PodIs,
    Sights,
    look_up,
    render_table,
)

CASES = list(product(EventSays, IndexSays, PodIs))


def test_every_case_has_a_row_and_every_row_decides_some_case() -> None:
    used = {TABLE.index(look_up(*case)) for case in CASES}
    assert used == set(range(len(TABLE)))


def test_running_pod_is_deleted_only_where_the_ledger_says_so() -> None:
    for event, index in product(EventSays, IndexSays):
        row = look_up(event, index, PodIs.NOT_ENDED)
        if index is IndexSays.NOTHING and event is not EventSays.FINISHED:
            assert row.fate is Fate.LEAVE, (event, index)
        assert row.fate is not Fate.REPORT, (event, index)


def test_pod_that_its_owner_waits_for_is_left_alone() -> None:
    for event, pod in product(EventSays, PodIs):
        assert look_up(event, IndexSays.THIS_POD, pod).fate is Fate.LEAVE


def test_nothing_is_acted_on_at_first_sight_but_a_second_pod_of_an_attempt() -> None:
    for case in CASES:
        row = look_up(*case)
        if row.sights is Sights.ONE:
            assert case[1] is IndexSays.ANOTHER_POD
        if row.fate is not Fate.LEAVE:
            assert row.sights is not Sights.NONE


def test_documented_table_is_the_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "reliability.md").read_text(encoding="utf-8")
    mark = "<!-- generated: ottoscaler.controller.leftovers.render_table -->\n\n"
    assert document.partition(mark)[2].partition("<!-- end")[0] == render_table()
