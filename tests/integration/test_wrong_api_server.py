"""Several API servers stand behind one name; the one that our connections lead to cannot do its work."""

from __future__ import annotations

import pytest

from tests.harness.api_proxy import ApiProxy, behind_api_proxy
from tests.harness.cluster_state import NEVER_STARTS, local_only
from tests.harness.kubeconfigs import leading_to, server_of
from tests.harness.proxy import Proxy
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running
from tests.harness.waiting import stays, wait_for

MOVE_SECONDS = 10.0  # from the server's illness until work goes on
BAD_GATEWAY = b"<html><h1>503 Service Unavailable</h1>No server is available.</html>"


def warm(place: Sandbox, proxy: ApiProxy) -> None:
    """Several kept connections, used by creates, deletes and the watch alike."""
    ends_well(place, place.scale_up(6, run_seconds=0.1), 6)
    assert len(proxy.connections) > 2


def times_left(replica: Replica) -> int:
    return len(replica.lines(action="api_server_left"))


@local_only
def test_server_without_a_leader_is_left_for_another_within_seconds(place: Sandbox) -> None:
    with behind_api_proxy(place) as (proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        warm(place, proxy)
        busy = running(place, 2)
        proxy.lose_leader()
        during = place.scale_up(3, run_seconds=0.1)
        end_workers(place, busy)
        assert place.wait_event(during, MOVE_SECONDS)["status"] == "succeeded"
        assert place.wait_event(busy, MOVE_SECONDS)["status"] == "succeeded"
        place.wait_no_pods(MOVE_SECONDS)
        assert times_left(replica) == 1


@local_only
def test_deletes_alone_leave_the_ill_server_too(place: Sandbox) -> None:
    with behind_api_proxy(place) as (proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        warm(place, proxy)
        waiting = place.scale_up(3, env=NEVER_STARTS)
        place.wait_workers(waiting, "Pending", 3)
        proxy.lose_leader()
        place.send("scale_down", task_id=waiting)
        assert place.wait_event(waiting, MOVE_SECONDS)["status"] == "cancelled"
        place.wait_no_pods(MOVE_SECONDS)
        assert times_left(replica) == 1


@local_only
def test_idle_replica_finds_a_well_server_by_its_watch_alone(place: Sandbox) -> None:
    with behind_api_proxy(place) as (proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        assert place.cluster is not None
        proxy.lose_leader()
        place.cluster.faults.expire_watches()
        wait_for(lambda: times_left(replica) == 1, "the ill server is left", 2 * MOVE_SECONDS)
        wait_for(replica.ready, "the watch is back", MOVE_SECONDS)


@local_only
@pytest.mark.parametrize("how", ["no leader", "timed out"])
def test_illness_of_all_servers_costs_few_connections_and_one_line(place: Sandbox, how: str) -> None:
    assert place.cluster is not None
    with behind_api_proxy(place) as (proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        warm(place, proxy)
        before = proxy.made
        place.cluster.faults.stall_etcd(how)
        event_id = place.scale_up(10, run_seconds=0.1)
        stays(lambda: not place.results("event", event_id), "no worker fails for it", 3.0)
        place.cluster.faults.resume_etcd()
        ends_well(place, event_id, 10)
        assert proxy.made - before <= 100, "connections are made anew with back-off"
        assert times_left(replica) == 1


@local_only
def test_load_balancer_without_a_server_is_asked_over_a_new_connection(place: Sandbox) -> None:
    with behind_api_proxy(place) as (proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        warm(place, proxy)
        before = proxy.made
        proxy.answer("POST", 503, BAD_GATEWAY, times=6)
        ends_well(place, place.scale_up(2), 2)
        assert proxy.made > before
        assert times_left(replica) == 1


@local_only
def test_overloaded_server_is_not_left(place: Sandbox) -> None:
    assert place.cluster is not None
    with behind_api_proxy(place) as (_, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        place.cluster.faults.answer(429, 5, "create", r"/pods", retry_after=1)
        ends_well(place, place.scale_up(5), 5)
        assert times_left(replica) == 0


@local_only
def test_kubeconfig_that_names_another_address_is_followed_when_the_old_one_is_gone(place: Sandbox) -> None:
    address, _, port = server_of(place).rpartition(":")
    old = Proxy(int(port))
    kubeconfig = leading_to(place, f"{address}:{old.port}")
    replica = place.start(KUBECONFIG=kubeconfig)
    busy = running(place, 2)
    old.close()
    wait_for(lambda: replica.get("/readyz")[0] == 503, "the old address is given up")
    assert leading_to(place, server_of(place)) == kubeconfig  # written anew
    end_workers(place, busy)
    assert place.wait_event(busy, MOVE_SECONDS)["status"] == "succeeded"
    ends_well(place, place.scale_up(2, run_seconds=0.1), 2)
