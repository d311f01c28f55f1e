"""The main job as the manifests' own service account, with their settings, templates, quota and limits, and
with nothing but their Role."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ottoscaler.pods.labels import pod_name
from tests.harness.observer import Kube
from tests.harness.sandbox import INSTANCE, Sandbox
from tests.harness.waiting import wait_for
from tests.real.manifests import Installed, Json
from tests.unit.manifests.kustomize import find

pytestmark = pytest.mark.real

FENCE = ("ServiceAccount", "Role", "RoleBinding", "ResourceQuota", "LimitRange", "PriorityClass")
VERBS = {"create", "get", "list", "watch", "delete"}


@pytest.fixture(params=["kind", "production"])
def installed(request: pytest.FixtureRequest, place: Sandbox) -> Iterator[Installed]:
    made = Installed(place, request.param)
    made.install(*FENCE)
    yield made
    made.remove_cluster_wide()


def refusals(place: Sandbox) -> float:
    return sum(r.metric("ottoscaler_kube_request_seconds_count", code="403") for r in place.replicas)


def test_events_run_with_nothing_but_the_role_of_the_manifests(installed: Installed) -> None:
    place = installed.place
    replica = place.start(**installed.settings())
    good = place.scale_up(3, task_id="build-17")
    bad = place.scale_up(1, env={"SIM_EXIT_CODE": "3"})
    taken = place.scale_up(2, run_seconds="inf", task_id="build-18")
    place.wait_workers(taken, "Running", 2)
    place.send("scale_down", task_id="build-18")
    assert place.wait_event(good)["succeeded"] == "3"
    assert place.wait_event(bad)["failed"] == "1"
    assert place.wait_event(taken)["cancelled"] == "2"
    place.wait_no_pods()
    assert refusals(place) == 0
    assert replica.stop() == 0


def test_workers_have_the_quota_s_and_the_priority_s_marks(installed: Installed) -> None:
    place = installed.place
    place.start(**installed.settings())
    event = place.scale_up(1, run_seconds="inf")
    (pod,) = place.wait_workers(event, "Running", 1)
    classes = [o["metadata"]["name"] for o in installed.objects if o["kind"] == "PriorityClass"]
    assert pod["spec"].get("priorityClassName", "") == ("otto-worker" if classes else "")
    assert pod["spec"].get("serviceAccountName") == "default"
    assert not [v for v in pod["spec"]["volumes"] if "secret" in v or "projected" in v]
    place.send("scale_down", pod_count="1")
    place.wait_event(event)


def test_account_may_do_nothing_else(installed: Installed) -> None:
    place = installed.place
    own = Kube(str(installed.kubeconfig), place.kube.namespace)
    base = f"/api/v1/namespaces/{own.namespace}"
    # A fresh RoleBinding takes the API server a moment to see.
    wait_for(lambda: own.request("GET", f"{base}/pods")[0] == 200, "the account may list Pods")
    for path in (f"{base}/secrets", f"{base}/configmaps", "/api/v1/pods", "/api/v1/nodes"):
        assert own.request("GET", path)[0] == 403, path
    assert own.request("GET", f"{base}/pods/any/log")[0] == 404  # allowed, for the logs that are kept
    assert own.request("POST", f"{base}/events", {"kind": "Event", "apiVersion": "v1"})[0] == 403
    assert own.request("PUT", f"{base}/pods/any", {"kind": "Pod", "apiVersion": "v1"})[0] == 403
    assert own.request("POST", f"{base}/pods/any/exec")[0] == 403
    assert own.request("GET", "/api/v1/namespaces/default/pods")[0] == 403


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_role_without_one_verb_would_not_do(verb: str, place: Sandbox) -> None:
    """The control of the tests above: the service does ask for each verb, and the API server does refuse."""
    installed = Installed(place, "kind")
    rule = find(installed.objects, "Role")["rules"][0]
    rule["verbs"].remove(verb)
    installed.install("ServiceAccount", "Role", "RoleBinding")
    event = place.scale_up(1)
    # A Pod of somebody else has the name, so the service has to look whose it is: the one use of `get`.
    foreign: Json = worker_pod(pod_name(INSTANCE, event, 0, 0))
    if verb == "get":
        place.kube.create_pod(foreign)
    replica = place.start(ready=False, **installed.settings())
    refused = {"code": "403", "verb": verb}
    wait_for(
        lambda: replica.metric("ottoscaler_kube_request_seconds_count", **refused) > 0,
        f"{verb} is refused",
    )


def worker_pod(name: str) -> Json:
    spec = {"containers": [{"name": "worker", "image": "busybox"}], "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
