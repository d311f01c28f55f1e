"""The manifests against the code that they run: neither may change without the other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ottoscaler.cli import serve
from ottoscaler.config.settings import NAMES, SPECS, variable
from ottoscaler.controller import shutdown
from ottoscaler.controller.handover import HANDOVER_SECONDS
from ottoscaler.controller.shutdown import PARTS_SECONDS
from tests.unit.manifests.kustomize import OVERLAYS, ROOT, find, render
from tests.unit.manifests.overlays import container, every, objects, pod_spec, settings, settings_data

Json = dict[str, Any]

SERVICE = ROOT / "manifests" / "base" / "service"
SECRET_OR_OWN = {"REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_CONSUMER", "POD_UID", "KUBECONFIG"}


# --- settings


@every
def test_every_variable_in_the_manifests_is_a_setting(overlay: str) -> None:
    named = {variable(name) for name in NAMES}
    given = settings_data(overlay).keys() | {entry["name"] for entry in container(overlay)["env"]}
    assert given <= named


def test_every_setting_stands_in_the_settings_file_with_its_default() -> None:
    lines = (SERVICE / "settings.env").read_text().splitlines()
    shown = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    assert shown.keys() | SECRET_OR_OWN == {variable(name) for name in NAMES}
    commented = {line[1:].split("=", 1)[0] for line in lines if re.match(r"#[A-Z_]+=", line)}
    defaults = {variable(n): "" if s.worked_out else s.shown_default for n, s in SPECS.items()}
    assert {name: shown[name] for name in commented} == {name: defaults[name] for name in commented}


@every
def test_settings_of_the_manifests_are_accepted(overlay: str) -> None:
    assert settings(overlay).warnings == ()


@every
def test_no_secret_stands_in_a_manifest(overlay: str) -> None:
    assert not {"REDIS_URL", "REDIS_PASSWORD"} & settings_data(overlay).keys()
    assert not [o for o in objects(overlay) if o["kind"] == "Secret"]
    literal = [e["name"] for e in container(overlay)["env"] if "value" in e]
    assert literal == []


@every
def test_replica_is_called_as_its_pod_and_knows_its_uid(overlay: str) -> None:
    own = [e for e in container(overlay)["env"] if "fieldRef" in e["valueFrom"]]
    fields = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in own}
    assert fields == {"REDIS_CONSUMER": "metadata.name", "POD_UID": "metadata.uid"}


@every
def test_templates_are_mounted_where_the_settings_look(overlay: str) -> None:
    mounts = {m["name"]: m["mountPath"] for m in container(overlay)["volumeMounts"]}
    assert mounts["templates"] == settings_data(overlay)["OTTO_TEMPLATES_DIR"]
    volumes = {v["name"]: v for v in pod_spec(overlay)["volumes"]}
    assert volumes["templates"]["configMap"]["name"] == "ottoscaler-templates"


def test_production_speaks_tls_to_redis_and_trusts_the_secret_s_ca() -> None:
    (url,) = [e for e in container("production")["env"] if e["name"] == "REDIS_URL"]
    secret = url["valueFrom"]["secretKeyRef"]["name"]
    (volume,) = [v for v in pod_spec("production")["volumes"] if "secret" in v]
    assert volume["secret"]["secretName"] == secret
    mounts = {m["name"]: m["mountPath"] for m in container("production")["volumeMounts"]}
    file = f"{mounts[volume['name']]}/{volume['secret']['items'][0]['path']}"
    assert settings_data("production")["REDIS_TLS_CA_FILE"] == file


# --- the process


@every
def test_grace_period_outlasts_the_slowest_stop(overlay: str) -> None:
    grace = settings(overlay).shutdown_grace_seconds
    assert pod_spec(overlay)["terminationGracePeriodSeconds"] >= grace + serve.HARD_LIMIT_SECONDS + 5
    # A stop's own last steps fit before the process would end itself.
    assert shutdown.READ_END_SECONDS + HANDOVER_SECONDS * 2 + PARTS_SECONDS * 2 <= serve.HARD_LIMIT_SECONDS


@every
def test_rolling_update_does_not_wait_for_long_workers(overlay: str) -> None:
    assert settings(overlay).shutdown_grace_seconds <= 30
    rolling = find(objects(overlay), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


@every
def test_probes_and_policy_use_the_port_that_the_service_listens_on(overlay: str) -> None:
    port = settings(overlay).http_port
    assert container(overlay)["ports"] == [{"name": "http", "containerPort": port}]
    probes = {n: container(overlay)[f"{n}Probe"]["httpGet"] for n in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert [probes[n]["path"] for n in ("startup", "liveness", "readiness")] == [
        "/healthz",
        "/healthz",
        "/readyz",
    ]
    policy = find(objects(overlay), "NetworkPolicy", "ottoscaler")["spec"]
    assert [p["port"] for rule in policy["ingress"] for p in rule["ports"]] == [port]


@every
def test_service_may_reach_redis_and_every_usual_port_of_dns_and_the_api_server(overlay: str) -> None:
    policy = find(objects(overlay), "NetworkPolicy", "ottoscaler")["spec"]
    out = {(p["port"], p["protocol"]) for rule in policy["egress"] for p in rule["ports"]}
    assert {(port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")} <= out
    assert {(port, "TCP") for port in (443, 6443, 8443, 16443, settings(overlay).redis_port)} <= out


@every
def test_everything_that_selects_the_service_selects_its_label(overlay: str) -> None:
    made = objects(overlay)
    deployment = find(made, "Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"] == {"app": "ottoscaler"}
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        find(made, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        find(made, "NetworkPolicy", "ottoscaler")["spec"]["podSelector"]["matchLabels"],
        *(
            spread["labelSelector"]["matchLabels"]
            for spread in pod_spec(overlay)["topologySpreadConstraints"]
        ),
    ]
    assert selectors == [{"app": "ottoscaler"}] * len(selectors)


@every
def test_a_drain_is_never_stopped_for_good_not_even_with_redis_away(overlay: str) -> None:
    budget = find(objects(overlay), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every
def test_each_version_s_replicas_are_spread_by_themselves_and_softly(overlay: str) -> None:
    spreads = pod_spec(overlay)["topologySpreadConstraints"]
    assert [spread["topologyKey"] for spread in spreads] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    assert all(spread["matchLabelKeys"] == ["pod-template-hash"] for spread in spreads)
    # Else a cordoned node, which counts as an empty one, would keep an evicted replica Pending.
    assert {spread["whenUnsatisfiable"] for spread in spreads} == {"ScheduleAnyway"}


@every
def test_frozen_replica_is_given_seconds_and_not_the_pod_s_grace_period(overlay: str) -> None:
    only = container(overlay)
    assert [only[f"{n}Probe"].get("terminationGracePeriodSeconds") for n in ("startup", "liveness")] == [5, 5]
    assert "terminationGracePeriodSeconds" not in only["readinessProbe"]  # the API server refuses it there


@every
def test_last_words_of_a_start_that_was_refused_are_kept_in_the_pod_s_status(overlay: str) -> None:
    assert container(overlay)["terminationMessagePolicy"] == "FallbackToLogsOnError"


# --- OpenShift


def test_openshift_overlay_is_the_production_one_without_fixed_ids() -> None:
    made, expected = objects("openshift"), objects("production")
    ids = ("runAsUser", "runAsGroup", "fsGroup")
    assert not re.search("|".join(ids), yaml.safe_dump(made))
    for name in ids:
        del find(expected, "Deployment")["spec"]["template"]["spec"]["securityContext"][name]
    for each in (made, expected):  # comments differ
        data = find(each, "ConfigMap", "ottoscaler-templates")["data"]
        for file, text in data.items():
            data[file] = yaml.safe_load(text)
            for name in ids:
                data[file]["spec"]["securityContext"].pop(name, None)
    assert _by_name(made) == _by_name(expected)


# --- rights


@every
def test_component_of_the_start_gate_sets_it_and_adds_the_verb_patch_on_pods_and_nothing_else(
    overlay: str, tmp_path: Path
) -> None:
    expected = objects(overlay)
    find(expected, "Role")["rules"][0]["verbs"].append("patch")
    find(expected, "ConfigMap", "ottoscaler-settings")["data"]["OTTO_START_GATE"] = "true"
    assert _by_name(render(_with_component(overlay, "start-gate", tmp_path))) == _by_name(expected)


@every
def test_component_without_logs_switches_them_off_and_takes_that_right_away_and_nothing_else(
    overlay: str, tmp_path: Path
) -> None:
    expected = objects(overlay)
    find(expected, "Role")["rules"].remove({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]})
    data = find(expected, "ConfigMap", "ottoscaler-settings")["data"]
    data |= {"OTTO_LOGS": "off", "OTTO_MAX_LOGS": "off"}
    assert _by_name(render(_with_component(overlay, "logs-off", tmp_path))) == _by_name(expected)


@every
def test_role_has_exactly_the_verbs_that_the_code_uses(overlay: str) -> None:
    code = (ROOT / "ottoscaler" / "kube" / "client.py").read_text()
    requests = re.findall(r'self\._\w+(?:\.\w+)?\(\s*"(\w+)", "(?:GET|POST|PUT|PATCH|DELETE)"', code)
    used = set(requests) - {"review"}  # of one's own rights: anyone may
    used -= {"patch"}  # only with OTTO_START_GATE, whose component grants it
    role = find(objects(overlay), "Role")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": role["rules"][0]["verbs"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},  # OTTO_LOGS
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},  # why a Pod did not start
    ]
    assert sorted(role["rules"][0]["verbs"]) == sorted(used)


@every
def test_rights_are_given_where_workers_run_and_to_the_service_s_account(overlay: str) -> None:
    made = objects(overlay)
    account = find(made, "ServiceAccount")["metadata"]
    where = settings_data(overlay).get("NAMESPACE", find(made, "Deployment")["metadata"]["namespace"])
    for kind in ("Role", "RoleBinding"):
        assert find(made, kind)["metadata"]["namespace"] == where
    (subject,) = find(made, "RoleBinding")["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert pod_spec(overlay)["serviceAccountName"] == account["name"]


@every
def test_every_object_s_namespace_is_made_and_enforces_restricted_pod_security(overlay: str) -> None:
    made = objects(overlay)
    namespaces = {o["metadata"]["name"]: o["metadata"]["labels"] for o in made if o["kind"] == "Namespace"}
    assert {o["metadata"]["namespace"] for o in made if "namespace" in o["metadata"]} == set(namespaces)
    for marks in namespaces.values():
        assert marks["pod-security.kubernetes.io/enforce"] == "restricted"


# --- kustomize itself, where kubectl is there; our own reading of the files is what is tested above


if shutil.which("kubectl"):

    def _kubectl(directory: Path) -> list[Json]:
        command = ["kubectl", "kustomize", str(directory)]
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        text = re.sub(r"(ottoscaler-(?:settings|templates))-[a-z0-9]{10}\b", r"\1", text)
        return list(yaml.safe_load_all(text))

    @every
    def test_kubectl_renders_what_these_tests_have_read(overlay: str) -> None:
        assert _by_name(_kubectl(OVERLAYS / overlay)) == _by_name(objects(overlay))

    def test_kubectl_renders_the_monitoring_as_these_tests_do() -> None:
        directory = ROOT / "manifests" / "monitoring"
        assert _by_name(_kubectl(directory)) == _by_name(render(directory))

    @every
    @pytest.mark.parametrize("component", ["start-gate", "logs-off"])
    def test_kubectl_renders_components_as_these_tests_do(
        overlay: str, component: str, tmp_path: Path
    ) -> None:
        changed = _with_component(overlay, component, tmp_path)
        assert _by_name(_kubectl(changed)) == _by_name(render(changed))


def _with_component(overlay: str, name: str, directory: Path) -> Path:
    """A copy of the overlay with the line that the component's own comment says to add."""
    copy = shutil.copytree(ROOT / "manifests", directory / "manifests")
    component = (copy / "components" / name / "kustomization.yaml").read_text()
    (line,) = re.findall(r"^#\s+- (\S+)$", component, re.MULTILINE)
    file = copy / "overlays" / overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text())
    kustomization.setdefault("components", []).append(line)
    file.write_text(yaml.safe_dump(kustomization))
    return file.parent


def _by_name(made: list[Json]) -> dict[tuple[str, str, str], Json]:
    return {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in made}
