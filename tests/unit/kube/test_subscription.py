"""What a worker's subscription keeps of the order in which things happened to its Pod."""

from __future__ import annotations

from ottoscaler.kube.subscription import Subscription
from ottoscaler.model import Phase
from ottoscaler.pods.view import parse_pod

RUNS = parse_pod({})._replace(uid="u-1", phase=Phase.RUNNING, started_at="T1")
ENDED = RUNS._replace(exit_code=3)  # beside a sidecar that runs on
EVICTED = ENDED._replace(phase=Phase.FAILED, pod_reason="Evicted", disruption="TerminationByKubelet")


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
    made.vanish(ENDED._replace(deleting=True, exit_code=137), 2.0)
    assert made.end is ENDED


def test_end_during_an_eviction_is_kept_once_the_pod_is_terminal() -> None:
    evicting = RUNS._replace(disruption="TerminationByKubelet")
    made = subscription(RUNS, evicting, evicting._replace(exit_code=143))
    assert made.end is None
    made.update(EVICTED, 2.0)
    assert made.end is EVICTED


def test_end_that_came_after_a_deletion_is_not_the_worker_s_own() -> None:
    made = subscription(RUNS, RUNS._replace(deleting=True))
    made.update(RUNS._replace(deleting=True, phase=Phase.FAILED, exit_code=143), 2.0)
    assert made.end is None


def test_end_of_an_earlier_pod_of_the_name_is_forgotten() -> None:
    made = subscription(RUNS, ENDED)
    made.forget()
    assert (made.view, made.end, made.gone) == (None, None, False)


def test_pod_of_the_same_name_that_was_there_before_is_not_mourned() -> None:
    made = subscription(RUNS)
    made.look()
    made.vanish(RUNS._replace(uid="earlier"), 2.0)
    assert not made.gone
    assert not made.wait(0)


def test_delete_s_reply_shows_a_pod_that_had_ended_before_it() -> None:
    made = subscription(RUNS)  # all that the watch has told
    made.asked_to_go(RUNS._replace(phase=Phase.SUCCEEDED, exit_code=0, deleting=True))
    assert made.end is not None
    assert made.end.exit_code == 0


def test_delete_s_reply_after_somebody_else_s_delete_shows_no_end_of_the_worker_s_own() -> None:
    killed = RUNS._replace(phase=Phase.FAILED, exit_code=143, deleting=True)
    for made, reply in (
        (subscription(RUNS), killed._replace(grace_seconds=30)),  # another replica's delete came first
        (subscription(RUNS, RUNS._replace(deleting=True)), killed),  # a finalizer keeps it
        (subscription(RUNS), RUNS._replace(deleting=True, grace_seconds=30)),  # it still runs
    ):
        made.asked_to_go(reply)
        assert made.end is None


def test_registry_s_words_outlive_the_back_off_that_hides_them() -> None:
    pull = RUNS._replace(
        phase=Phase.PENDING, started_at="", waiting_reason="ErrImagePull", waiting_message="403"
    )
    waits = 'Back-off pulling image "a/b:1"'
    hides = pull._replace(waiting_reason="ImagePullBackOff", waiting_message=waits)
    told = hides._replace(waiting_message=f"{waits}: ErrImagePull: 404")
    other = pull._replace(waiting_reason="CreateContainerError", waiting_message="")
    shown = [
        (v.waiting_reason, v.waiting_message) for v in (subscription(pull, hides).view,) if v is not None
    ]
    assert shown == [("ErrImagePull", "403")]
    assert subscription(pull, told).view == told  # a newer kubelet tells both
    assert subscription(pull, other).view == other  # another trouble is told by its own words
