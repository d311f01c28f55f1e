"""Messages name the cause of a start that never came."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox, sandbox

MOUNT = 'MountVolume.SetUp failed for volume "cache" : configmap "settings" not found'


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    """A replica that gives a Pod two seconds to start."""
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="2") as made:
        made.start()
        yield made


@local_only
def test_the_registry_s_words_are_told_and_not_the_back_off_s(place: Sandbox) -> None:
    words = "rpc error: code = NotFound desc = failed to resolve reference: a/b:1: not found"
    env = {"SIM_WAITING": "ErrImagePull,ImagePullBackOff", "SIM_WAITING_MESSAGE": words}
    worker = place.only_worker(place.scale_up(1, env=env))
    assert (worker["reason"], worker["message"]) == ("ImagePull", f"ErrImagePull: {words}")


@local_only
def test_a_pod_that_only_says_container_creating_has_its_cause_from_its_events(place: Sandbox) -> None:
    env = {"SIM_WAITING": "ContainerCreating", "SIM_EVENT": f"FailedMount {MOUNT}"}
    worker = place.only_worker(place.scale_up(1, env=env))
    assert (worker["reason"], worker["message"]) == (
        "PendingTimeout",
        f"ContainerCreating: FailedMount: {MOUNT}",
    )


@local_only
def test_without_the_right_to_read_events_it_is_said_once_and_nothing_else_changes(place: Sandbox) -> None:
    assert place.cluster is not None
    place.cluster.faults.answer(403, None, None, "/events", message="events is forbidden")
    env = {"SIM_WAITING": "ContainerCreating", "SIM_EVENT": f"FailedMount {MOUNT}"}
    worker = place.only_worker(place.scale_up(1, env=env))
    place.only_worker(place.scale_up(1, env=env))
    place.cluster.faults.clear()
    assert (worker["reason"], worker["message"]) == ("PendingTimeout", "ContainerCreating")
    assert len(place.replicas[-1].lines(action="events_forbidden")) == 1
