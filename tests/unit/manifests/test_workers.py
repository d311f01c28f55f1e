"""What the manifests allow Pods to be: Pod Security for all of them, templates, quotas and fences."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from ottoscaler.events.quantities import parse as quantity
from ottoscaler.model import ScaleUp, WorkerId
from ottoscaler.pods.labels import labels
from ottoscaler.pods.plan import PodDefaults, plan
from ottoscaler.pods.templates import load_templates
from tests.unit.manifests.kustomize import ROOT, find
from tests.unit.manifests.overlays import Json, every, objects, pod_spec, settings
from tests.unit.manifests.podsecurity import violations

# --- restricted Pod Security


@every
def test_pods_of_the_manifests_are_fit_for_a_restricted_namespace(overlay: str) -> None:
    for made in objects(overlay):
        if made["kind"] in ("Deployment", "StatefulSet"):
            spec = made["spec"]["template"]["spec"]
            assert violations(spec) == []
            assert spec["enableServiceLinks"] is False
            assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in spec["containers"])


def worker(overlay: str, directory: Path, profile: str) -> Json:
    for name, text in find(objects(overlay), "ConfigMap", "ottoscaler-templates")["data"].items():
        (directory / name).write_text(text)
    s = settings(overlay)
    templates = load_templates(str(directory), agent_image=s.agent_image)
    assert templates.warnings == ()
    defaults = PodDefaults(s.instance, "installation", s.namespace, s.agent_image, 900, 3600, 2)
    made: Json = plan(ScaleUp("1-0", "build", 1, profile=profile), templates.get(profile), defaults).pod(0, 0)
    return made


@every
@pytest.mark.parametrize("profile", ["default", "large"])
def test_workers_are_fit_for_a_restricted_namespace(overlay: str, profile: str, tmp_path: Path) -> None:
    assert violations(worker(overlay, tmp_path, profile)["spec"]) == []


FORBIDDEN: list[tuple[str, Json]] = [
    ("hostNetwork", {"hostNetwork": True}),
    ("volume hostPath", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
    ("runAsNonRoot", {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
    ("seccompProfile", {"securityContext": {"runAsNonRoot": True}}),
]


@pytest.mark.parametrize(("problem", "change"), FORBIDDEN, ids=[name for name, _ in FORBIDDEN])
def test_checker_of_restricted_pod_security_finds_what_is_forbidden(problem: str, change: Json) -> None:
    spec = {**copy.deepcopy(pod_spec("kind")), **change}
    assert any(problem in found for found in violations(spec))


@pytest.mark.parametrize("missing", ["allowPrivilegeEscalation", "capabilities"])
def test_checker_of_restricted_pod_security_asks_every_container(missing: str) -> None:
    spec = copy.deepcopy(pod_spec("kind"))
    del spec["containers"][0]["securityContext"][missing]
    assert violations(spec) != []


# --- workers' limits


def test_production_s_default_worker_is_the_built_in_one_with_a_priority(tmp_path: Path) -> None:
    builtin = yaml.safe_load((ROOT / "ottoscaler" / "pods" / "builtin" / "default.yaml").read_text())
    del builtin["spec"]["containers"][0]["command"]  # written for busybox
    builtin["spec"]["priorityClassName"] = find(objects("production"), "PriorityClass", "otto-worker")[
        "metadata"
    ]["name"]
    templates = find(objects("production"), "ConfigMap", "ottoscaler-templates")["data"]
    assert yaml.safe_load(templates["default.yaml"]) == builtin


def test_profiles_of_both_overlays_differ_by_the_priority_alone() -> None:
    kind, production = (
        yaml.safe_load(find(objects(o), "ConfigMap", "ottoscaler-templates")["data"]["large.yaml"])
        for o in ("kind", "production")
    )
    assert production["spec"].pop("priorityClassName") == "otto-worker"
    assert production == kind


def test_quota_holds_the_workers_of_all_replicas() -> None:
    made = objects("production")
    full = find(made, "Deployment")["spec"]["replicas"] * settings("production").max_workers
    hard = find(made, "ResourceQuota")["spec"]["hard"]
    assert int(hard["pods"]) == full
    resources = yaml.safe_load(find(made, "ConfigMap", "ottoscaler-templates")["data"]["default.yaml"])[
        "spec"
    ]["containers"][0]["resources"]
    for part, amounts in resources.items():
        for name, amount in amounts.items():
            assert quantity(hard[f"{part}.{name}"]) >= full * quantity(amount), f"{part}.{name}"


def test_limit_range_allows_what_events_may_ask_for() -> None:
    (limits,) = find(objects("production"), "LimitRange")["spec"]["limits"]
    s = settings("production")
    assert (limits["max"]["cpu"], limits["max"]["memory"]) == (s.max_cpu, s.max_memory)


@every
def test_policy_around_the_workers_selects_the_labels_of_workers(overlay: str) -> None:
    given = labels("i", "x", WorkerId("1-0", 0, 0), "task", "me")
    policy = find(objects(overlay), "NetworkPolicy", "otto-agent")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= given.items()
    assert "ingress" not in policy
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_redis_of_the_kind_overlay_keeps_what_it_acknowledged() -> None:
    redis = find(objects("kind"), "StatefulSet", "redis")["spec"]
    arguments = redis["template"]["spec"]["containers"][0]["args"]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    (claim,) = redis["volumeClaimTemplates"]
    mounts = redis["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": claim["metadata"]["name"], "mountPath": options["--dir"]} in mounts
    assert settings("kind").redis_host == find(objects("kind"), "Service")["metadata"]["name"]
