"""What passes in seconds is no verdict; what can never pass is one at once; trouble fails nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.cluster_state import ledger, local_only
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import SHORT_PAUSES
from tests.harness.waiting import stays, wait_for

GHOST = """\
apiVersion: v1
kind: Pod
metadata: {annotations: {ottoscaler.io/accepts: "*"}}
spec:
  serviceAccountName: ghost
  containers: [{name: worker, image: "busybox:latest"}]
"""
FORBIDDEN = 'pods "x" is forbidden: '
PASSING = {
    "not yet ready to handle request": 403,
    "status unknown for quota: q, resources: pods": 403,
    'error looking up service account t/default: serviceaccount "default" not found': 403,
    "unable to create new content in namespace t because it is being terminated": 403,
    'namespaces "t" not found': 404,
}


@contextmanager
def with_ghost(templates: Path, pending_seconds: int) -> Iterator[Sandbox]:
    """A replica with a profile whose service account is missing."""
    (templates / "ghost.yaml").write_text(GHOST)
    with sandbox(
        OTTO_TEMPLATES_DIR=str(templates),
        OTTO_PENDING_TIMEOUT_SECONDS=str(pending_seconds),
        bounds=SHORT_PAUSES,
    ) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """It waits at most two seconds for a Pod."""
    with with_ghost(tmp_path_factory.mktemp("templates"), 2) as made:
        yield made


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """It waits for a minute: for what must succeed, however slow the machine is."""
    with with_ghost(tmp_path_factory.mktemp("patient"), 60) as made:
        yield made


def phase(place: Sandbox, name: str) -> str:
    pod = place.kube.request("GET", f"/api/v1/namespaces/{place.kube.namespace}/pods/{name}")[1]
    return str(pod["status"].get("phase"))


def told_to_wait(replica: Replica, words: str) -> bool:
    return any(words in line["message"] for line in replica.lines(action="create_waits"))


def account(place: Sandbox) -> None:
    path = f"/api/v1/namespaces/{place.kube.namespace}/serviceaccounts"
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ghost"}}
    assert place.kube.request("POST", path, body)[0] == 201


def test_a_service_account_that_does_not_come_rejects_in_the_api_server_s_words(place: Sandbox) -> None:
    worker = place.only_worker(place.scale_up(1, profile="ghost"))
    assert (worker["status"], worker["reason"], worker["attempt"]) == ("failed", "Rejected", "0")
    assert 'serviceaccount "ghost" not found' in worker["message"]


def test_a_service_account_that_comes_in_time_costs_nothing(patient: Sandbox) -> None:
    place = patient
    event_id = place.scale_up(1, profile="ghost")
    wait_for(lambda: ledger(place, event_id).get("i:0"), "it was tried")
    stays(lambda: not place.workers(event_id), "it was given up", 0.5)
    account(place)
    worker = place.only_worker(event_id)
    assert (worker["status"], worker["attempt"]) == ("succeeded", "0")


def test_a_namespace_that_is_terminated_and_made_anew_costs_nothing() -> None:
    with sandbox(OTTO_PENDING_TIMEOUT_SECONDS="60") as place:
        replica = place.start()
        path = f"/api/v1/namespaces/{place.kube.namespace}"
        slow = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "slow", "annotations": {"sim/run-seconds": "inf", "sim/term-seconds": "2"}},
            "spec": {"containers": [{"name": "slow", "image": "busybox:latest"}]},
        }  # fmt: skip
        place.kube.create_pod(slow)
        wait_for(lambda: phase(place, "slow") == "Running", "the Pod that holds the namespace runs")
        assert place.kube.request("DELETE", path)[0] in (200, 202)
        event_id = place.scale_up(1)
        wait_for(lambda: told_to_wait(replica, "being terminated"), "it is tried while the namespace ends")
        wait_for(lambda: place.kube.request("GET", path)[0] == 404, "the namespace is gone", 30)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.kube.namespace}}
        assert place.kube.request("POST", "/api/v1/namespaces", body)[0] == 201
        worker = place.only_worker(event_id)
        assert (worker["status"], worker["attempt"]) == ("succeeded", "0")


@local_only
@pytest.mark.parametrize("words", PASSING)
def test_what_passes_in_seconds_is_tried_again(patient: Sandbox, words: str) -> None:
    place = patient
    assert place.cluster is not None
    place.cluster.faults.answer(PASSING[words], 2, "create", r"/pods(\?|$)", message=FORBIDDEN + words)
    worker = place.only_worker(place.scale_up(1))
    assert (worker["status"], worker["attempt"]) == ("succeeded", "0")


@local_only
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, 'User "x" cannot create resource "pods"'),
        (503, 'admission webhook "w" denied the request: busy'),
    ],
)
def test_what_does_not_pass_is_rejected_at_the_pending_timeout(
    place: Sandbox, status: int, words: str
) -> None:
    assert place.cluster is not None
    place.cluster.faults.answer(status, None, "create", r"/pods(\?|$)", message=words)
    worker = place.only_worker(place.scale_up(1))
    place.cluster.faults.clear()
    assert (worker["status"], worker["reason"]) == ("failed", "Rejected")
    assert words in worker["message"]
