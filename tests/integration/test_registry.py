"""A registry that heals costs a worker at most some of its attempts; one that says no is final."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox, sandbox

BROKEN = "unexpected status from HEAD request to https://r.example.org/v2/a: 503 Service Unavailable"


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    """A replica that gives an image one second."""
    with sandbox(OTTO_IMAGE_PULL_GRACE_SECONDS="1", OTTO_PENDING_TIMEOUT_SECONDS="60") as made:
        made.start()
        yield made


def pulling(message: str, **more: str) -> dict[str, str]:
    return {"SIM_WAITING": "ErrImagePull,ImagePullBackOff", "SIM_WAITING_MESSAGE": message, **more}


@local_only
def test_a_broken_registry_is_tried_again_with_new_attempts_one_after_the_other(
    place: Sandbox,
) -> None:
    assert place.cluster is not None
    event_id = place.scale_up(1, max_retries="1", env=pulling(BROKEN, SIM_TERM_SECONDS="3"))
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "ImagePull", "1")
    assert worker["message"] == f"ErrImagePull: {BROKEN}"
    first, second = sorted(place.cluster.audit.lives(), key=lambda life: life.name)
    assert first.deleted is not None
    assert first.deleted <= second.created


@local_only
def test_a_registry_that_heals_within_the_grace_costs_no_attempt(place: Sandbox) -> None:
    env = pulling(BROKEN, SIM_WAITING_SECONDS="0.1")
    worker = place.only_worker(place.scale_up(1, env=env))
    assert (worker["status"], worker["attempt"]) == ("succeeded", "0")


@local_only
def test_an_image_that_is_not_found_is_final_after_the_grace(place: Sandbox) -> None:
    worker = place.only_worker(place.scale_up(1, env=pulling("a/b:1: not found")))
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "ImagePull", "0")
