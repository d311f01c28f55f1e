"""The judge of invariant 3 sees each delete of a worker's Pod, and what Redis holds at that moment."""

from __future__ import annotations

from tests.harness.cluster_state import local_only
from tests.harness.evidence import Evidence
from tests.harness.sandbox import Sandbox, sandbox

LEDGER = "otto:scale:events:ottoscaler:event:7-0"


def pod(place: Sandbox, index: int) -> str:
    name = f"otto-agent-test-7-0-{index}-1"
    spec = {"containers": [{"name": "worker", "image": "busybox"}]}
    made = place.kube.create_pod({"metadata": {"name": name}, "spec": spec})
    return str(made["metadata"]["uid"])


@local_only
def test_delete_needs_a_reason_that_stands_in_redis_as_it_comes() -> None:
    with sandbox() as place:
        evidence = Evidence(place)
        uids = [pod(place, index) for index in range(8)]
        fields = {
            "state": "open",
            "i:0": f"s:1:{uids[0]}",  # it runs
            "i:1": "s:1:",  # nobody has noted it yet
            "i:2": "w:1:0:",  # that attempt is still to come
            "i:3": f"d:1:succeeded:{uids[3]}",
            "i:4": "w:2:0:",  # a retry
            "i:5": "s:1:another-uid",
            "i:6": f"s:1:{uids[6]}",
            "c:6": "1:8-0:cancelled by 8-0",
        }
        place.redis.hset(LEDGER, mapping=fields)
        for index in range(8):
            place.kube.delete_pod(f"otto-agent-test-7-0-{index}-1")
        # What is written afterwards is too late.
        place.redis.hset(LEDGER, mapping={f"i:{index}": "d:1:succeeded:" for index in range(8)})
        wrong = {problem.split()[2] for problem in evidence.problems()}
        assert wrong == {f"otto-agent-test-7-0-{index}-1" for index in (0, 1, 2, 7)}
        assert evidence.deletes == 8


@local_only
def test_delete_while_redis_is_down_is_judged_by_what_it_comes_back_with() -> None:
    with sandbox() as place:
        evidence = Evidence(place)
        uid = pod(place, 0)
        place.redis.hset(LEDGER, mapping={"state": "open", "i:0": f"d:1:succeeded:{uid}"})
        place.redis_server.kill()
        place.kube.delete_pod("otto-agent-test-7-0-0-1")
        assert evidence.problems() == ["whether otto-agent-test-7-0-0-1 might be deleted is unknown"]
        place.redis_server.start()
        assert evidence.problems() == []
