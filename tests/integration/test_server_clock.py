"""The API server's clock is wrong in an answer, or is set: no worker's limit is enforced on that."""

from __future__ import annotations

from tests.harness.api_proxy import behind_api_proxy
from tests.harness.cluster_state import local_only
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import end_workers, ends_well, running
from tests.harness.waiting import stays, wait_for

HOURS = 7200.0
WORKERS = 6


def adopted(place: Sandbox, event_id: str) -> None:
    """The last replica has all of the event's workers in its hands."""
    replica = place.replicas[-1]
    look = lambda: len(replica.lines(action="pod_adopted", event_id=event_id)) == WORKERS  # noqa: E731
    wait_for(look, "all workers are adopted", 15)


@local_only
def test_lists_with_a_wrong_date_end_no_worker_at_its_adoption() -> None:
    with sandbox(OTTO_LEASE_SECONDS="1") as place, behind_api_proxy(place) as (proxy, kubeconfig):
        first = place.start()
        event_id = running(place, WORKERS)
        first.kill()
        proxy.clock_ahead, proxy.wrong_dates = HOURS, 1
        place.start(KUBECONFIG=kubeconfig)
        adopted(place, event_id)
        assert not proxy.wrong_dates
        stays(lambda: not place.workers(event_id), "none of them is ended", 2.0)
        end_workers(place, event_id)
        ends_well(place, event_id, WORKERS)


@local_only
def test_first_answers_that_all_have_a_wrong_date_end_none_either() -> None:
    with sandbox(OTTO_LEASE_SECONDS="1") as place, behind_api_proxy(place) as (proxy, kubeconfig):
        first = place.start()
        event_id = running(place, WORKERS)
        first.kill()
        proxy.clock_ahead, proxy.wrong_dates = HOURS, 2  # the list, and the watch behind it
        place.start(KUBECONFIG=kubeconfig)
        adopted(place, event_id)
        stays(lambda: not place.workers(event_id), "a last look at each Pod brings the right time", 2.0)
        end_workers(place, event_id)
        ends_well(place, event_id, WORKERS)


@local_only
def test_step_of_the_servers_clock_ends_no_adopted_worker_and_is_told() -> None:
    with sandbox(OTTO_LEASE_SECONDS="1") as place, behind_api_proxy(place) as (proxy, kubeconfig):
        first = place.start()
        event_id = running(place, WORKERS)
        first.kill()
        second = place.start(KUBECONFIG=kubeconfig)
        adopted(place, event_id)
        # Its answers tell the clock's time before the step; a replica that never knew that sees no step.
        assert place.wait_event(place.scale_up(1))["status"] == "succeeded"
        proxy.clock_ahead = HOURS
        assert place.wait_event(place.scale_up(3))["status"] == "succeeded"
        wait_for(lambda: second.lines(action="server_clock_stepped"), "the step is told")
        stays(lambda: not place.workers(event_id), "none of them is ended", 1.0)
        end_workers(place, event_id)
        assert place.wait_event(event_id)["succeeded"] == str(WORKERS)
        assert len(second.lines(action="server_clock_stepped")) == 1


@local_only
def test_node_whose_clock_is_hours_behind_ends_no_adopted_worker() -> None:
    with sandbox(OTTO_LEASE_SECONDS="1") as place:
        assert place.cluster is not None
        place.cluster.faults.shift_node_clock("fake-0", -HOURS)
        first = place.start()
        event_id = running(place, WORKERS, timeout_seconds="600")
        first.kill()
        place.start()
        adopted(place, event_id)
        stays(lambda: not place.workers(event_id), "none of them is ended", 2.0)
        end_workers(place, event_id)
        ends_well(place, event_id, WORKERS)
