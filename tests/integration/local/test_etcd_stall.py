"""A stalled etcd, as kube-apiserver 1.20.2 showed it: what its cache answers, and the words of the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ottoscaler.local import LocalCluster

from ...conformance.client import ALONE, MERGE, Namespace, Reply, pod, until
from ...harness.waiting import wait_for


def together(*asks: Callable[[], Reply]) -> tuple[list[threading.Thread], dict[int, Reply]]:
    """Ask all at one time, each in a thread of its own; the answers come by their number."""
    answers: dict[int, Reply] = {}

    def run(number: int, ask: Callable[[], Reply]) -> None:
        answers[number] = ask()

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in enumerate(asks)]
    for thread in threads:
        thread.start()
    return threads, answers


def test_cache_goes_on_and_everything_else_waits_for_etcd(
    cluster: LocalCluster, namespace: Namespace
) -> None:
    namespace.create(pod(**ALONE))
    cluster.faults.stall_etcd()
    threads, answers = together(
        lambda: namespace.create(pod("b", **ALONE)),
        namespace.list,
        lambda: namespace.get("a"),
        lambda: namespace.patch("a", {"metadata": {"labels": {"x": "y"}}}, MERGE),
    )
    assert namespace.names(resourceVersion="0") == ["a"]
    assert namespace.get("a", "?resourceVersion=0").code == 200
    assert [event["type"] for event in namespace.watch(resourceVersion="0")] == ["ADDED"]
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert namespace.server.call("POST", path, review)["status"]["allowed"]
    ready = namespace.server.call("GET", "/readyz")
    assert (ready.code, "[-]etcd failed" in ready.body) == (500, True)
    assert answers == {}
    cluster.faults.resume_etcd()
    for thread in threads:
        thread.join(30)
    assert [answers[i].code for i in range(4)] == [201, 200, 200, 200]
    assert namespace.names() == ["a", "b"]
    assert namespace.server.call("GET", "/readyz").code == 200


def test_client_that_gives_up_meanwhile_gets_no_pod(cluster: LocalCluster, namespace: Namespace) -> None:
    cluster.faults.stall_etcd()
    connection = namespace.server.connect()
    connection.request(
        "POST", namespace.pods, '{"metadata":{"name":"a"}}', {"Content-Type": "application/json"}
    )
    connection.close()
    assert namespace.names(resourceVersion="0") == []  # by now the server knows that it has gone
    cluster.faults.resume_etcd()
    assert namespace.names() == []


def test_etcd_that_is_given_up_refuses_at_once(cluster: LocalCluster, namespace: Namespace) -> None:
    cluster.faults.stall_etcd("unavailable")
    words = "rpc error: code = Unavailable desc = transport is closing"
    created = namespace.create(pod("b"))
    assert created.body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'pods "b" is forbidden: {words}',
        "reason": "Forbidden",
        "details": {"name": "b", "kind": "pods"},
        "code": 403,
    }
    for reply in (namespace.list(), namespace.get("a"), namespace.delete("a")):
        assert (reply.code, reply["message"], "reason" in reply.body) == (500, words, False)
    assert namespace.list(resourceVersion="0").code == 200


@pytest.mark.parametrize(
    ("mode", "words"),
    [("no leader", "etcdserver: no leader"), ("timed out", "etcdserver: request timed out")],
)
def test_etcds_own_refusals_are_answered_with_500(
    cluster: LocalCluster, namespace: Namespace, mode: str, words: str
) -> None:
    cluster.faults.stall_etcd(mode)
    for reply in (namespace.create(pod()), namespace.list(), namespace.delete("a")):
        assert (reply.code, reply["message"]) == (500, words)
    cluster.faults.clear()
    assert namespace.create(pod(**ALONE)).code == 201


def test_kubelet_reports_after_the_stall_what_happened_in_it(
    cluster: LocalCluster, namespace: Namespace, tmp_path: Path
) -> None:
    (tmp_path / "end").touch()
    command = f"while ! test -e {tmp_path}/go; do sleep 0.05; done; echo over > {tmp_path}/end; exit 4"
    namespace.create(pod(container={"command": ["sh", "-c", command]}))
    namespace.until_phase("a", "Running")
    cluster.faults.stall_etcd()
    started = namespace.get("a", "?resourceVersion=0")
    (tmp_path / "go").touch()
    wait_for(lambda: b"over" in (tmp_path / "end").read_bytes(), "its command has ended")
    assert namespace.get("a", "?resourceVersion=0").body == started.body
    cluster.faults.resume_etcd()
    ended = namespace.until_phase("a", "Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 4


def test_unknown_way_to_stall_is_refused_with_the_known(cluster: LocalCluster, namespace: Namespace) -> None:
    reply = namespace.server.call("POST", "/faults", {"fault": "stall_etcd", "how": "sulking"})
    assert (reply.code, "no leader" in reply["message"]) == (400, True)
    assert wait_for(lambda: until(namespace.list, lambda one: one.code == 200), "it answers")
