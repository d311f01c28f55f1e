"""A bar's verdict: given where every round says the same on a machine of the bench's own, else refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.bench.noise import Noise, Seen, own_cpu
from tests.tools.bench.scaling import compared
from tests.tools.bench.verdicts import KEDA_HOW, Ratio, another_round, render, rounds_that_count


def ratio(*rounds: float, noise: float = 0.0, limit: float = 1.8, at_least: bool = False) -> Ratio:
    return Ratio("CPU a worker to bare's", limit, tuple((each, 1.0) for each in rounds), noise, at_least)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (ratio(1.7, 1.6, 1.8), "yes"),
        (ratio(1.9, 2.0, 2.1), "NO"),
        (ratio(1.7, 1.6, 1.9), "unclear: the rounds disagree"),
        (ratio(1.7, 1.6, 1.7, 1.6, 1.9), "unclear: the rounds disagree"),
        (ratio(1.7, 1.6, 1.7, 1.6, 1.9, 1.7), "yes"),
        (ratio(1.9, 2.0, 2.1, 1.7, 1.9, 2.0), "NO"),
        (ratio(1.7, 1.6, 1.7, 1.6, 1.9, 1.7, 1.9), "unclear: the rounds disagree"),
        (ratio(1.7, 1.6), "too few: 2 rounds of 3"),
        (ratio(0.95, 0.99, 1.1, limit=0.95, at_least=True), "yes"),
        (ratio(0.5, 0.6, 0.94, limit=0.95, at_least=True), "NO"),
        (ratio(1.0, 1.0, 1.0, noise=0.43), "noisy: 0.4 cores used by others"),
        (ratio(2.0, 2.0, 2.0, noise=0.43), "noisy: 0.4 cores used by others"),
    ],
)
def test_verdict_is_refused_where_it_could_be_wrong(made: Ratio, verdict: str) -> None:
    assert made.verdict == verdict
    assert made.document()["verdict"] == verdict


def test_noisy_round_is_replaced_and_does_not_count() -> None:
    noises = [0.1, 0.7, 0.0]
    assert another_round(noises, 100.0, lambda: False)
    assert not another_round([*noises, 0.1], 100.0, lambda: False)
    assert rounds_that_count([*noises, 0.1]) == [0, 2, 3]


def test_rounds_are_added_while_they_disagree() -> None:
    assert another_round([0.1] * 3, 100.0, lambda: True)
    assert not another_round([0.1] * 3, 100.0, lambda: False)
    assert not another_round([0.1] * 7, 100.0, lambda: True)
    assert not another_round([0.1] * 3, 300.0, lambda: True)


def test_run_ends_where_the_machine_stays_noisy() -> None:
    assert another_round([], 1000.0, lambda: False)
    assert not another_round([0.5, 0.5, 0.1], 1000.0, lambda: False)
    assert not another_round([0.5] * 7, 100.0, lambda: False)
    assert rounds_that_count([0.5, 0.5, 0.1]) == [0, 1, 2]


def test_table_shows_the_spread_and_says_that_the_peer_is_of_another_run() -> None:
    text = render([ratio(1.6, 1.7, 1.8)])
    assert "1.70" in text
    assert "1.60 to 1.80" in text
    assert "KEDA 2.20.2" in KEDA_HOW
    assert "NOT of this run" in text


def test_ratio_tells_the_medians_of_both_sides() -> None:
    made = Ratio("CPU a worker to bare's", 1.8, ((3.0, 1.5), (2.0, 1.0), (4.0, 1.6)), 0.0, unit="ms")
    assert made.rounds == (2.0, 2.0, 2.5)
    assert "3 to 1.5 ms" in render([made])


def test_row_without_a_bar_says_so() -> None:
    made = Ratio("creates/s to bare's", None, ((1.0, 2.0),) * 3, 0.0)
    assert (made.verdict, made.bar()) == ("no bar", "-")


def test_ten_replicas_are_compared_with_one_of_the_same_round() -> None:
    found = [
        {
            "round": number,
            "pods": 1000,
            "replicas": replicas,
            "cpu_ms_per_worker": cpu,
            "watch_kb_per_worker": 19.0,
            "workers_per_s": 200.0,
            "fairness": 0.96,
            "noise": 0.1,
        }
        for number, replicas, cpu in ((1, 1, 2.0), (1, 10, 3.0), (2, 1, 4.0), (2, 10, 4.0), (3, 1, 2.0))
    ]
    cpu, watched, speed, fair = compared(found)
    assert (cpu.rounds, cpu.noise, cpu.limit) == ((1.5, 1.0), 0.1, 1.5)
    assert (watched.rounds, speed.at_least, fair.rounds) == ((1.0, 1.0), True, (0.96, 0.96))


def test_others_are_all_but_the_bench_with_what_is_below_it_and_the_control_plane() -> None:
    seen = {
        1: Seen(0, 50.0),
        10: Seen(1, 1.0),  # the bench
        11: Seen(10, 2.0),
        12: Seen(11, 4.0),
        20: Seen(1, 100.0),  # somebody else
        30: Seen(1, 8.0, serves=True),
    }
    assert own_cpu(seen, 10) == 15.0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="reads Linux's /proc")
def test_ones_own_work_is_no_noise() -> None:
    with Noise() as heard:
        sum(range(1_000_000))
    assert heard.cores >= 0.0
