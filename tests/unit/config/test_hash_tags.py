"""Names for a Redis Cluster: which lie in one hash slot, and which would."""

from __future__ import annotations

import pytest

from ottoscaler.config.hash_tags import cluster_problem, hash_tag
from ottoscaler.config.settings import Settings


def settings(stream: str, results: str, dead: str) -> Settings:
    return Settings(redis_stream=stream, redis_results_stream=results, redis_dead_stream=dead)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("{otto}:events", "otto"),
        ("a{b}c{d}", "b"),
        ("otto", ""),
        ("{}otto{x}", ""),
        ("{otto", ""),
        ("{{a}b", "{a"),
    ],
)
def test_the_first_pair_of_braces_holds_the_tag(name: str, tag: str) -> None:
    assert hash_tag(name) == tag


def test_names_with_one_tag_are_fine() -> None:
    assert cluster_problem(settings("{otto}:scale:events", "{otto}:results", "dead:{otto}")) == ""


@pytest.mark.parametrize(
    ("names", "would_do"),
    [
        (("otto:e", "otto:r", "otto:d"), ("{otto}:e", "{otto}:r", "{otto}:d")),
        (("{ci}:e", "ci:r", "dead"), ("{ci}:e", "{ci}:r", "{ci}:dead")),
        (("events", "results", "dead"), ("{events}:events", "{events}:results", "{events}:dead")),
        (("{a}:e", "{b}:r", "{a}:d"), ("{a}:e", "{a}:b:r", "{a}:d")),
    ],
)
def test_other_names_are_answered_with_those_that_would_do(
    names: tuple[str, str, str], would_do: tuple[str, str, str]
) -> None:
    problem = cluster_problem(settings(*names))
    variables = ("REDIS_STREAM", "REDIS_RESULTS_STREAM", "REDIS_DEAD_STREAM")
    assert ", ".join(f"{v}={n}" for v, n in zip(variables, would_do, strict=True)) in problem
    assert cluster_problem(settings(*would_do)) == ""


def test_a_cluster_behind_a_socket_is_refused() -> None:
    assert "Unix socket" in cluster_problem(Settings(redis_url="unix:///run/redis.sock"))
