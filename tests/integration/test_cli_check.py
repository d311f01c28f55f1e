"""``check`` against a Redis and an API server: what it finds, and that it changes nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ottoscaler.local import LocalCluster
from ottoscaler.local.node.machine import ServerOptions
from ottoscaler.local.ports import free_port
from tests.harness.cluster_state import FOREVER, local_only
from tests.harness.preloaded import run
from tests.harness.sandbox import INSTANCE, Sandbox
from tests.harness.sentinel import sentinel

LONGEST_CHECK_SECONDS = 90.0  # both sides away: their connect timeouts, and the interpreter on a busy machine


def check(
    place: Sandbox, *, within: float = LONGEST_CHECK_SECONDS, **settings: str | None
) -> subprocess.CompletedProcess[str]:
    return run(["check"], place.environment(**settings), seconds=within)


def findings(ran: subprocess.CompletedProcess[str], level: str) -> list[str]:
    """The lines of a level, without it."""
    lines = ran.stdout.partition("Checks\n")[2].splitlines()
    return [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == [level]]


def test_all_is_well_and_nothing_is_changed(place: Sandbox) -> None:
    slow = {"OTTO_KUBE_QPS": "0.1", "OTTO_KUBE_BURST": "1"}  # at the service's rate, check would take 70 s
    ran = check(place, within=60.0, REDIS_PASSWORD="", OTTO_MAX_WORKERS="7", **slow)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert findings(ran, "problem") == []
    assert re.search(r"OTTO_MAX_WORKERS +7\n", ran.stdout)
    assert any(
        "allowed in events: busybox:latest (this tag, no digest)" in line for line in findings(ran, "ok")
    )
    assert place.redis.keys() == []
    assert place.kube.pods() == []


def test_what_works_with_a_bad_conscience_is_a_warning(place: Sandbox) -> None:
    place.redis.config_set("maxmemory-policy", "allkeys-lru")
    place.redis.config_set("appendonly", "no")
    ran = check(place, OTTO_MAX_WORKER="5")
    assert ran.returncode == 0
    warned = "\n".join(findings(ran, "warning"))
    for word in ("allkeys-lru", "appendonly", "OTTO_MAX_WORKER: ignored"):
        assert word in warned


@pytest.mark.parametrize(
    ("setting", "value", "words", "advice"),
    [
        ("maxmemory", "1", "used memory > 'maxmemory'", "raise maxmemory"),
        ("min-replicas-to-write", "1", "NOREPLICAS", "its own log and configuration say why"),
    ],
)
def test_a_redis_that_answers_and_writes_nothing_is_a_problem(
    place: Sandbox, setting: str, value: str, words: str, advice: str
) -> None:
    place.redis.config_set(setting, value)
    ran = check(place)
    assert ran.returncode == 1, ran.stdout
    (told,) = findings(ran, "problem")
    assert words in told
    assert advice in told


def test_keys_of_another_kind_at_our_names_are_problems(place: Sandbox) -> None:
    place.redis.set("otto:scale:results", "mine")
    place.redis.set("otto:scale:events:ottoscaler:events", "mine")
    ran = check(place)
    assert ran.returncode == 1
    assert len([line for line in findings(ran, "problem") if line.startswith("keys")]) == 2


def test_a_redis_and_an_api_server_that_are_away_are_told_apart_and_soon(
    place: Sandbox, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "away"
    port = free_port()
    kubeconfig.write_text(
        f"""\
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: u, user: {{}}}}]
"""
    )
    url = f"redis://:sekrit-4711@127.0.0.1:{port}/0"
    ran = check(place, REDIS_URL=url, KUBECONFIG=str(kubeconfig))
    assert ran.returncode == 1
    redis_line, kube_line = findings(ran, "problem")
    assert f"127.0.0.1:{port}" in redis_line
    assert "REDIS_URL" in redis_line
    assert f"127.0.0.1:{port}" in kube_line
    assert str(kubeconfig) in kube_line
    assert "sekrit" not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_pod_without_a_service_account_uses_the_file_at_home(place: Sandbox) -> None:
    home = place.directory / ".kube"
    home.mkdir()
    (home / "config").write_text(Path(place.kube.kubeconfig).read_text())
    ran = check(place, KUBECONFIG=None, KUBERNETES_SERVICE_HOST="10.96.0.1", KUBERNETES_SERVICE_PORT="443")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_url_wins_over_sentinels(place: Sandbox) -> None:
    ran = check(place, REDIS_SENTINELS=f"127.0.0.1:{free_port()}", REDIS_SENTINEL_MASTER="main")
    assert ran.returncode == 0, ran.stdout
    assert f"{place.redis_server.url} answers" in ran.stdout
    assert any(
        "REDIS_SENTINELS: ignored because REDIS_URL is set" in line for line in findings(ran, "warning")
    )


def test_a_wrong_password_is_told_with_what_to_set(place: Sandbox) -> None:
    place.redis.config_set("requirepass", "right")
    ran = check(place)
    assert ran.returncode == 1
    assert "REDIS_PASSWORD" in findings(ran, "problem")[0]
    assert not findings(ran, "warning"), "where no Pod is, nobody asks whose it is"
    right = place.redis_server.url.replace("redis://", "redis://:right@")
    again = check(place, REDIS_URL=right)
    assert again.returncode == 0, again.stdout
    assert "redis://:***@" in again.stdout
    assert ":right@" not in again.stdout


def test_a_missing_namespace_is_told_once_with_the_command_that_makes_it(place: Sandbox) -> None:
    ran = check(place, NAMESPACE="nonesuch")
    assert ran.returncode == 1
    (problem,) = findings(ran, "problem")
    assert problem.split(maxsplit=1) == [
        "namespace",
        "namespace nonesuch (NAMESPACE) does not exist: kubectl create namespace nonesuch",
    ]


def test_a_pod_that_the_api_server_refuses_is_named_by_its_template(place: Sandbox, tmp_path: Path) -> None:
    worker = "{name: worker, image: a, imagePullPolicy: Odd}"
    (tmp_path / "odd.yaml").write_text(f"apiVersion: v1\nkind: Pod\nspec:\n  containers: [{worker}]\n")
    ran = check(place, OTTO_TEMPLATES_DIR=str(tmp_path))
    assert ran.returncode == 1
    (line,) = findings(ran, "problem")
    assert line.startswith("templates")
    assert "odd:" in line
    assert place.kube.pods() == []


def misspelt(directory: Path) -> None:
    """A template that Kubernetes takes, without its node selector."""
    spec = "{nodeSelectr: {disk: ssd}, containers: [{name: worker}]}"
    (directory / "odd.yaml").write_text(f"apiVersion: v1\nkind: Pod\nspec: {spec}\n")


def test_a_misspelt_field_of_a_template_is_a_problem(place: Sandbox, tmp_path: Path) -> None:
    misspelt(tmp_path)
    ran = check(place, OTTO_TEMPLATES_DIR=str(tmp_path))
    assert ran.returncode == 1
    (line,) = findings(ran, "problem")
    assert "odd:" in line
    assert "spec.nodeSelectr" in line
    assert place.kube.pods() == []


@local_only
def test_a_misspelt_field_is_found_on_a_server_that_does_not_look_for_it(
    place: Sandbox, tmp_path: Path
) -> None:
    misspelt(tmp_path)
    with LocalCluster(None, ServerOptions(minor=20), redis=False) as old:
        settings = {"KUBECONFIG": str(old.kubeconfig_path), "NAMESPACE": "default"}
        ran = check(place, within=LONGEST_CHECK_SECONDS, OTTO_TEMPLATES_DIR=str(tmp_path), **settings)
    (line,) = findings(ran, "problem")
    assert "would leave out what it does not know: spec.nodeSelectr" in line
    assert any("default: the API server would accept" in told for told in findings(ran, "ok"))


def test_a_profile_that_cannot_be_used_is_a_problem_and_the_others_are_tried(
    place: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "one.yaml").write_text("kind: Pod\n")
    (tmp_path / "two.yml").write_text("")
    ran = check(place, OTTO_TEMPLATES_DIR=str(tmp_path))
    assert ran.returncode == 1
    told = "\n".join(findings(ran, "problem"))
    assert "one.yaml: apiVersion: v1 and kind: Pod are required" in told
    assert "two.yml: ignored; rename it to two.yaml" in told
    assert any("default: the API server would accept its Pod" in line for line in findings(ran, "ok"))


def test_a_default_that_cannot_be_used_exits_with_2_and_all_is_told(place: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("kind: Pod\n")
    (tmp_path / "two.yaml").write_text("[")
    ran = check(place, OTTO_TEMPLATES_DIR=str(tmp_path))
    assert ran.returncode == 2
    told = "\n".join(findings(ran, "problem"))
    assert "default.yaml: " in told
    assert "two.yaml: " in told
    assert any(line.startswith("kubernetes") for line in findings(ran, "ok"))


def test_pods_of_another_installation_are_counted(place: Sandbox) -> None:
    labels = {
        "managed-by": "ottoscaler",
        "ottoscaler.io/instance": INSTANCE,
        "ottoscaler.io/installation": "0ther",
    }
    # Without this, a real API server waits for the service account's token, which is a moment late.
    spec = {"containers": [{"name": "worker", "image": "busybox"}], "automountServiceAccountToken": False}
    for number in range(2):
        name = f"stranger-{number}"
        place.kube.create_pod(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": labels},
                "spec": spec,
            }
        )
    ran = check(place)
    assert ran.returncode == 0
    assert any("2 have our labels" in line and "0ther" in line for line in findings(ran, "warning"))
    cleanup = f"kubectl delete pods -n {place.kube.namespace} -l 'ottoscaler.io/installation=0ther'"
    assert any(line.endswith(cleanup) for line in findings(ran, "warning")), "what an operator has to do"


def test_a_running_service_does_not_mind_and_its_own_pods_are_no_strangers(place: Sandbox) -> None:
    place.start()
    place.wait_workers(place.scale_up(2, run_seconds="inf"), "Running", 2)
    ran = check(place)
    assert ran.returncode == 0, ran.stdout
    assert any("2 with our labels, none of another" in line for line in findings(ran, "ok"))


@pytest.mark.parametrize("value", ["70000", "none"])
def test_wrong_settings_exit_with_2_before_anything_is_tried(place: Sandbox, value: str) -> None:
    ran = check(place, REDIS_PORT=value, OTTO_MAX_WORKERS="none")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 2


def test_sentinel_in_the_place_of_a_redis_is_told_with_the_settings_for_it(
    place: Sandbox,
) -> None:
    with sentinel(place) as port:
        ran = check(place, REDIS_URL=f"redis://127.0.0.1:{port}")
        unknown = check(
            place, REDIS_URL=None, REDIS_SENTINELS=f"127.0.0.1:{port}", REDIS_SENTINEL_MASTER="other"
        )
    (line,) = findings(ran, "problem")
    assert "is a Sentinel, not a Redis: name it in REDIS_SENTINELS" in line
    assert not any("maxmemory" in line for line in findings(ran, "warning"))
    (line,) = findings(unknown, "problem")
    assert "does REDIS_SENTINEL_MASTER name it as these Sentinels do?" in line


def test_former_namespace_without_events_is_named_as_such(place: Sandbox) -> None:
    place.start()
    place.wait_event(place.scale_up(1))
    ran = check(place, NAMESPACE="elsewhere")
    words = f"replicas have created Pods in {place.kube.namespace}, not in elsewhere (NAMESPACE)"
    assert any(words in line for line in findings(ran, "warning"))


def test_workers_left_in_a_former_namespace_are_named(place: Sandbox) -> None:
    place.start()
    place.wait_workers(place.scale_up(2, run_seconds=FOREVER), "Running", 2)
    ran = check(place, NAMESPACE="elsewhere")
    words = f"workers of 1 event in flight run in {place.kube.namespace}, not in elsewhere (NAMESPACE)"
    assert any(words in line for line in findings(ran, "warning"))
    place.redis.append("otto:scale:events:ottoscaler:instance", b"\xff")  # no name is what a stranger wrote
    ran = check(place, OTTO_INSTANCE="another")
    assert any("OTTO_INSTANCE: invalid value 'another'" in line for line in findings(ran, "problem"))
    assert not any("(NAMESPACE)" in line for line in findings(check(place), "warning"))


def test_another_instance_is_a_warning_where_no_event_is_in_flight(place: Sandbox) -> None:
    """The replica that is known may have died, and then it refuses nobody."""
    place.redis.set("otto:scale:events:ottoscaler:instance", "one")
    place.redis.sadd("otto:scale:events:ottoscaler:replicas", "gone")
    ran = check(place, OTTO_INSTANCE="another")
    assert any("OTTO_INSTANCE: invalid value 'another'" in line for line in findings(ran, "warning"))
    assert not findings(ran, "problem")


@local_only
def test_start_gate_asks_for_the_verb_patch_and_a_server_that_knows_gates(
    place: Sandbox, tmp_path: Path
) -> None:
    assert place.cluster is not None
    ran = check(place, OTTO_START_GATE="true")
    assert ran.returncode == 0, ran.stdout
    assert any("create, get, list, watch, delete, patch pods" in line for line in findings(ran, "ok"))
    place.cluster.faults.deny("patch")
    ran = check(place, OTTO_START_GATE="true")
    (told,) = findings(ran, "problem")
    assert "may not patch pods" in told
    assert "manifests/components/start-gate, or the chart's startGate.enabled, grants it" in told
    assert not any("patch" in line for line in findings(check(place), "problem"))
    with LocalCluster(None, ServerOptions(minor=26), redis=False) as old:
        ran = check(place, OTTO_START_GATE="true", KUBECONFIG=str(old.kubeconfig_path), NAMESPACE="default")
    assert any("OTTO_START_GATE needs Kubernetes 1.27" in line for line in findings(ran, "problem"))


@local_only
def test_right_to_logs_is_asked_for_where_the_service_or_an_event_may_want_them(place: Sandbox) -> None:
    assert place.cluster is not None
    place.cluster.faults.deny("get", "pods/log")
    for logs, most, needed in (("failed", "all", True), ("off", "all", True), ("off", "off", False)):
        ran = check(place, OTTO_LOGS=logs, OTTO_MAX_LOGS=most)
        told = [line for line in findings(ran, "warning") if "may not get pods/log" in line]
        assert bool(told) == needed, (logs, most)
