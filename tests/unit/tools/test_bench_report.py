"""The benchmark's arithmetic: a table that says "met" must be right about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools.bench import wire
from tests.tools.bench.bursts import Contest, no_gates, price_of_the_gate
from tests.tools.bench.contest import Run
from tests.tools.bench.processes import requests_told
from tests.tools.bench.report import Bar, Figure, Report, fairness, median, milliseconds, percentile


@pytest.mark.parametrize(
    ("bar", "service", "bare", "met"),
    [
        (Bar(2.05), 2.05, None, True),
        (Bar(2.05), 2.06, None, False),
        (Bar(2, "over bare"), 6.0, 4.0, True),
        (Bar(2, "over bare"), 6.5, 4.0, False),
        (Bar(0.9, "share of bare"), 90.0, 100.0, True),
        (Bar(0.9, "share of bare"), 89.0, 100.0, False),
    ],
)
def test_bar_is_met_up_to_its_limit_and_not_past_it(
    bar: Bar, service: float, bare: float | None, met: bool
) -> None:
    assert bar.met(service, bare) is met


def test_bar_without_the_figure_it_is_measured_against_is_neither_met_nor_missed() -> None:
    assert Bar(0.9, "share of bare").met(100.0, None) is None
    assert Bar(1).met(None, 1.0) is None


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert percentile(values, 0.5) == 3.0
    assert percentile(values, 0.99) == 5.0
    assert percentile(values, 0.2) == 1.0
    assert median([2.0, 1.0]) == 1.0
    assert milliseconds([0.004], 0.5) == 4.0


def test_nothing_measured_has_no_percentile() -> None:
    assert percentile([], 0.5) is None
    assert milliseconds([], 0.5) is None


def test_fairness_is_one_for_equal_shares_and_one_nth_where_one_replica_did_all() -> None:
    assert fairness([10, 10, 10]) == pytest.approx(1)
    assert fairness([30, 0, 0]) == pytest.approx(1 / 3)
    assert fairness([0, 0]) == 1


def test_table_puts_the_ratio_first_and_names_a_missed_bar() -> None:
    figure = Figure("burst of 1000", "workers/s", 80.0, 100.0, 40.0, Bar(0.9, "share of bare"))
    head, _, row = Report({}, [figure]).text().split("\n\n")[-1].splitlines()
    assert head.split()[:3] == ["/", "bare", "bar"]
    assert row.split() == [
        "0.80",
        ">=",
        "90%",
        "of",
        "bare",
        "NO",
        "burst",
        "of",
        "1000",
        "80",
        "100",
        "40",
        "workers/s",
    ]


def test_row_without_a_bar_claims_nothing() -> None:
    row = Report({}, [Figure("threads", "threads", 1008.0)]).text().splitlines()[-1]
    assert row.split() == ["-", "-", "threads", "1008", "-", "-", "threads"]


def test_written_report_carries_ratios_and_verdicts(tmp_path: Path) -> None:
    report = Report({"cores": 2}, [Figure("idle", "ms", 5.0, 4.0, None, Bar(2, "over bare"))])
    report.write(tmp_path / "results" / "one.json")
    document = json.loads((tmp_path / "results" / "one.json").read_text())
    assert document["schema"] == 1
    assert document["about"] == {"cores": 2}
    assert document["figures"][0]["ratio"] == 1.25
    assert document["figures"][0]["met"] is True


def test_requests_of_a_run_are_counted_per_worker_by_verb() -> None:
    run = Run(100, 2.0, 0.25, {"create": 100, "delete": 101, "list": 1}, ())
    assert run.each() == 2.02
    assert run.each("create") == 1
    assert run.each("get", "list", "watch") == 0.01
    assert run.per_second == 50
    assert run.cpu_ms == 2.5


def test_price_of_the_start_gate_stands_under_each_figure_without_it() -> None:
    ungated = Contest(ours=[Run(100, 1.0, 0.2, {"create": 100, "delete": 100}, ())])
    gated = Contest(ours=[Run(100, 1.25, 0.3, {"create": 100, "delete": 100, "patch": 100}, ())])
    text = Report({}, price_of_the_gate(ungated, gated, 100)).text()
    assert [" ".join(line.split()) for line in text.splitlines()[-7:]] == [
        "- - burst of 100, no gate 100 - - workers/s median of 1",
        "- - burst of 100, start gate 80 - - workers/s 0.80 of no gate",
        "- - CPU a worker, 100 of 1 s, no gate 2 - - ms CPU median of 1",
        "- - CPU a worker, 100 of 1 s, start gate 3 - - ms CPU 1.50 of no gate",
        "- <= 2.05 yes requests a worker, 100 of 1 s, no gate 2 - - requests median of 1",
        "- <= 3.05 yes requests a worker, 100 of 1 s, start gate 3 - - requests 1.50 of no gate",
        "- - patches 1 - - requests",
    ]


def test_server_without_scheduling_gates_has_a_row_that_says_so() -> None:
    row = Report({}, [no_gates("v1.20.2")]).text().splitlines()[-1]
    assert " ".join(row.split()) == (
        "- - start gate - - - - not measured: needs Kubernetes 1.27, this is v1.20.2"
    )


def test_requests_are_added_over_their_answers() -> None:
    name = "ottoscaler_kube_request_seconds"
    text = (
        f'{name}_bucket{{code="201",le="0.1",verb="create"}} 7.0\n'
        f'{name}_count{{code="201",verb="create"}} 1000.0\n'
        f'{name}_count{{code="429",verb="create"}} 2.0\n'
        f'{name}_sum{{code="201",verb="create"}} 8.5\n'
        f'{name}_count{{code="200",verb="delete"}} 1000.0\n'
    )
    assert requests_told(text) == {"create": 1002, "delete": 1000}


def test_watch_event_is_told_from_what_its_pod_says() -> None:
    pod = {
        "metadata": {
            "name": "otto-agent-1",
            "uid": "0a0a0a0a-1111-2222-3333-444444444444",
            "resourceVersion": "42",
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "worker", "type": "DELETED"}]},
        "status": {"phase": "Succeeded", "conditions": [{"type": "Ready"}]},
    }
    for separators in ((",", ":"), (", ", ": ")):
        line = json.dumps({"type": "MODIFIED", "object": pod}, separators=separators).encode()
        assert wire.parse_event(line) == wire.Seen(
            "MODIFIED", "otto-agent-1", "0a0a0a0a-1111-2222-3333-444444444444", "42", "Succeeded", True
        )


def test_watch_event_of_a_patched_pod_is_told_though_its_name_comes_after_the_labels() -> None:
    metadata = {"labels": {"app": "otto-agent"}, "resourceVersion": "7", "name": "otto-agent-1"}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "worker"}]}}
    line = json.dumps({"type": "DELETED", "object": pod}).encode()
    assert wire.parse_event(line) == wire.Seen("DELETED", "otto-agent-1", "", "7", "", False)


def test_bookmark_is_nobodys_pod() -> None:
    line = b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}'
    assert wire.parse_event(line) is None
