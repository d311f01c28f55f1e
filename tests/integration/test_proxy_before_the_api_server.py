"""What comes is not always Kubernetes': it is no verdict on a worker, and ends no thread."""

from __future__ import annotations

import json

from tests.harness.api_proxy import behind_api_proxy
from tests.harness.cluster_state import local_only
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running, uids
from tests.harness.waiting import wait_for

PAGE = b"<html>please log in</html>"
STRANGE_EVENTS: list[object] = [
    {"type": "BOOKMARK", "object": None},
    {"type": "MODIFIED", "object": None},
    {"type": "DELETED", "object": {"metadata": {}}},
    {"type": "ERROR", "object": {"code": []}},
    {"type": "ERROR", "object": "gone"},
    {"type": ["ADDED"], "object": {}},
    [],
    None,
]
STRANGE_LISTS = [
    b"null",
    b"[]",
    b"{}",
    PAGE,
    b'{"metadata": {"resourceVersion": "1"}, "items": [null]}',
    b'{"metadata": {"resourceVersion": "1"}, "items": {"a": 1}}',
    b'{"metadata": {"resourceVersion": "1"}}',
    b'{"metadata": [], "items": []}',
]


@local_only
def test_create_that_a_proxy_refused_is_tried_again(place: Sandbox) -> None:
    refusals = [(302, b""), (400, PAGE), (403, PAGE), (404, b"{}"), (409, b""), (502, PAGE)]
    with behind_api_proxy(place) as (api_proxy, kubeconfig):
        place.start(KUBECONFIG=kubeconfig)
        for code, body in refusals:
            api_proxy.answer("POST", code, body)
        ends_well(place, place.scale_up(3), 3)
        assert not api_proxy.answers


@local_only
def test_create_with_an_unusable_answer_is_looked_for_and_adopted(place: Sandbox) -> None:
    assert place.cluster is not None
    bodies = [b"null", b"[]", b"{}", b'{"metadata": {"name": "a"}}', PAGE, b""]
    with behind_api_proxy(place) as (api_proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        for body in bodies:
            api_proxy.answer("POST", 201, body, late=True)
        event_id = place.scale_up(len(bodies))
        ends_well(place, event_id, len(bodies))
    assert all(len(found) == 1 for found in place.cluster.audit.uids_by_name().values())
    assert len(replica.lines(action="pod_adopted", event_id=event_id)) == len(bodies)
    assert replica.lines(action="worker_error") == []


@local_only
def test_page_in_answer_to_a_delete_is_not_the_word_that_the_pod_is_gone(place: Sandbox) -> None:
    with behind_api_proxy(place) as (api_proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        event_id = running(place)
        api_proxy.answer("DELETE", 404, PAGE)
        end_workers(place, event_id)
        ends_well(place, event_id)
        assert not api_proxy.answers
        assert replica.lines(action="pod_swept") == [], "its worker itself saw to it"


@local_only
def test_bookmark_without_a_version_changes_nothing(place: Sandbox) -> None:
    with behind_api_proxy(place) as (api_proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        api_proxy.say(b'{"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {}}}')
        ends_well(place, place.scale_up())
        assert replica.lines(action="watch_restarted") == []


def wait_restarts(replica: Replica, number: int, what: str) -> None:
    wait_for(lambda: len(replica.lines(action="watch_restarted")) >= number, what)


@local_only
def test_strange_event_breaks_the_watch_and_no_thread(place: Sandbox) -> None:
    with behind_api_proxy(place) as (api_proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        event_id = running(place)
        for number, strange in enumerate(STRANGE_EVENTS, 1):
            api_proxy.say(json.dumps(strange).encode())
            wait_restarts(replica, number, f"the watch breaks off at {strange}")
            assert replica.process.poll() is None, replica.log()
        end_workers(place, event_id)
        ends_well(place, event_id)
        assert replica.process.poll() is None, replica.log()


@local_only
def test_list_that_makes_no_sense_is_unknown_and_not_zero(place: Sandbox) -> None:
    assert place.cluster is not None
    with behind_api_proxy(place) as (api_proxy, kubeconfig):
        replica = place.start(KUBECONFIG=kubeconfig)
        event_id = running(place)
        before = uids(place, event_id)
        for body in STRANGE_LISTS:
            api_proxy.answer("GET", 200, body)
        place.cluster.faults.expire_watches()
        wait_for(lambda: not api_proxy.answers, "it lists again and again", 20)
        wait_for(replica.ready, "the watch has synced")
        assert uids(place, event_id) == before
        end_workers(place, event_id)
        ends_well(place, event_id)
        assert place.workers(event_id)[0]["attempt"] == "0"
