"""What a worker's subscription keeps of the order in which things happened to its Pod."""

from __future__ import annotations

from dataclasses import replace

from ottoscaler.kube.subscription import Subscription
from ottoscaler.model import Phase
from ottoscaler.pods.view import parse_pod

RUNS = replace(parse_pod({}), uid="u-1", phase=Phase.RUNNING, started_at="T1")
ENDED = replace(RUNS, exit_code=3)  # beside a sidecar that runs on
EVICTED = replace(ENDED, phase=Phase.FAILED, pod_reason="Evicted", disruption="TerminationByKubelet")


def subscription(*shown: object) -> Subscription:
    made = Subscription("pod")
    made.uid = "u-1"
    for view in shown:
        made.update(view, 1.0)  # type: ignore[arg-type]
    return made


def test_end_that_was_seen_before_an_eviction_is_kept() -> None:
    assert subscription(RUNS, ENDED, EVICTED).end is ENDED


def test_end_that_was_seen_before_a_deletion_is_kept_also_when_the_pod_is_gone() -> None:
    made = subscription(RUNS, ENDED)
    made.vanish(replace(ENDED, deleting=True, exit_code=137), 2.0)
    assert made.end is ENDED


def test_end_during_an_eviction_is_kept_once_the_pod_is_terminal() -> None:
    evicting = replace(RUNS, disruption="TerminationByKubelet")
    made = subscription(RUNS, evicting, replace(evicting, exit_code=143))
    assert made.end is None
    made.update(EVICTED, 2.0)
    assert made.end is EVICTED


def test_end_that_came_after_a_deletion_is_not_the_worker_s_own() -> None:
    made = subscription(RUNS, replace(RUNS, deleting=True))
    made.update(replace(RUNS, deleting=True, phase=Phase.FAILED, exit_code=143), 2.0)
    assert made.end is None


def test_end_of_an_earlier_pod_of_the_name_is_forgotten() -> None:
    made = subscription(RUNS, ENDED)
    made.forget()
    assert (made.view, made.end, made.gone) == (None, None, False)
