"""Templates as operators write and mount them, and every mistake that is told at the start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.model import JsonObject
from ottoscaler.pods.templates import load_templates
from tests.harness.pod_makers import loaded, planned, scale_up, template, worker_of, write


def problems(directory: Path, **templates: JsonObject | str) -> str:
    found = loaded(directory, **templates)
    assert found.names == ("default",)
    assert sorted(found.broken) == sorted(templates)
    return "; ".join(found.problems)


def without_warnings(pod: JsonObject) -> JsonObject:
    pod["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in pod["spec"]["containers"]:
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    return pod


def test_without_a_directory_there_is_the_built_in_default() -> None:
    templates = load_templates(None, agent_image="team/agent:1")
    assert templates.names == ("default",)
    assert templates.warnings == ()
    assert templates.get("default").worker["image"] == "team/agent:1"


def test_built_in_default_stands_beside_the_operator_s_profiles(tmp_path: Path) -> None:
    templates = loaded(tmp_path, gpu=without_warnings(template()))
    assert templates.names == ("default", "gpu")
    assert templates.get("default").builtin
    assert not templates.get("gpu").builtin


def test_operator_s_default_replaces_the_built_in_one(tmp_path: Path) -> None:
    assert not loaded(tmp_path, default=template()).get("default").builtin


def test_worker_without_an_image_gets_the_agent_image(tmp_path: Path) -> None:
    templates = loaded(tmp_path, default=template({"image": ""}))
    assert worker_of(planned(scale_up(), templates).pod(0, 0))["image"] == "busybox:latest"


def test_templates_are_read_through_the_links_of_a_configmap_mount(tmp_path: Path) -> None:
    version = tmp_path / "..2026_01_02"
    version.mkdir()
    write(version, gpu=without_warnings(template()))
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "gpu.yaml").symlink_to("..data/gpu.yaml")
    assert load_templates(str(tmp_path), agent_image="busybox").names == ("default", "gpu")


def test_other_files_are_no_templates_but_yml_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# ours")
    (tmp_path / ".hidden.yaml").write_text("nonsense: [")
    assert load_templates(str(tmp_path), agent_image="busybox").names == ("default",)
    (tmp_path / "gpu.yml").write_text("")
    templates = load_templates(str(tmp_path), agent_image="busybox")
    assert templates.problems == ("gpu.yml: ignored; rename it to gpu.yaml",)
    with pytest.raises(BadEvent, match=r"the template of 'gpu' is invalid: gpu.yml: ignored"):
        templates.get("gpu")


def test_stray_file_beside_the_right_one_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / "gpu.yml").write_text("")
    (tmp_path / "default.yml").write_text("")
    templates = loaded(tmp_path, gpu=template(), default=template())
    assert templates.names == ("default", "gpu")
    assert len(templates.problems) == 2
    assert templates.get("gpu")
    assert not templates.get("default").builtin


@pytest.mark.parametrize("name", ["default.yml", "Default.yaml", "DEFAULT.yml"])
def test_file_that_was_meant_for_the_default_stops_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(BadTemplate, match=name):
        loaded(tmp_path, gpu=template())


@pytest.mark.parametrize(
    "name", ["GPU.yaml", "a_b.yaml", "-a.yaml", "a.b.yaml", "x" * 64 + ".yaml", "ü.yaml"]
)
def test_file_s_name_must_be_a_profile(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    templates = loaded(tmp_path, gpu=template())
    assert templates.names == ("default", "gpu")
    assert (
        "invalid name; expected a profile's name (up to 63 of a-z, 0-9 and -) and .yaml"
        in templates.problems[0]
    )


def test_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadTemplate, match="No such file or directory"):
        load_templates(str(tmp_path / "nowhere"), agent_image="busybox")


def test_named_pipe_does_not_block_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gpu.yaml")
    templates = load_templates(str(tmp_path), agent_image="busybox")
    assert templates.problems == ("gpu.yaml: cannot be read: not a regular file",)
    with pytest.raises(BadEvent, match="the template of 'gpu' is invalid"):
        templates.get("gpu")


def test_file_that_is_too_large_or_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * (256 * 1024 + 1))
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe\x00")
    templates = load_templates(str(tmp_path), agent_image="busybox")
    assert templates.names == ("default",)
    assert "big.yaml: cannot be read: larger than 262144 bytes" in templates.problems
    assert templates.problems[1].startswith("odd.yaml: cannot be read: ")


def test_every_problem_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    told = problems(tmp_path, a="[", b=template(restartPolicy="Always", activeDeadlineSeconds=5), c="1")
    assert "a.yaml: invalid YAML in line 1" in told
    assert "b.yaml: spec.restartPolicy must be Never" in told
    assert "b.yaml: spec.activeDeadlineSeconds cannot be set" in told
    assert "c.yaml: expected one Pod" in told


def test_default_that_cannot_be_used_stops_the_start_and_the_others_are_told_too(tmp_path: Path) -> None:
    with pytest.raises(BadTemplate) as caught:
        loaded(tmp_path, default=template(restartPolicy="Always"), gpu="[", good=template())
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["default.yaml", "gpu.yaml"]


def test_profile_that_cannot_be_used_spoils_its_own_events_only(tmp_path: Path) -> None:
    bad = template(restartPolicy="Always", activeDeadlineSeconds=5)
    templates = loaded(tmp_path, bad=bad, good=template())
    assert planned(scale_up(profile="good"), templates)
    assert planned(scale_up(), templates)
    with pytest.raises(BadEvent) as caught:
        planned(scale_up(profile="bad"), templates)
    assert str(caught.value) == (
        "profile: the template of 'bad' is invalid: "
        "bad.yaml: spec.restartPolicy must be Never: a worker runs once; "
        "bad.yaml: spec.activeDeadlineSeconds cannot be set: Ottoscaler sets it from the event's timeouts"
    )


def test_dead_letters_of_a_template_with_many_problems_stay_short(tmp_path: Path) -> None:
    broken = loaded(tmp_path, bad={f"field{i}": 1 for i in range(5000)}).broken["bad"]
    assert len(broken) == 1000
    assert broken.endswith("...")


@pytest.mark.parametrize(
    "text", ["a: !!int ''", "a: !!timestamp x", "a: !!bool maybe", "a: 0x" + "f" * 5000, "a: !!float ''"]
)
def test_yaml_that_trips_its_own_reader_spoils_one_profile_only(tmp_path: Path, text: str) -> None:
    assert "odd.yaml: " in problems(tmp_path, odd=text)


def test_sysctl_without_a_proper_name_is_only_warned_about(tmp_path: Path) -> None:
    odd = template(securityContext={"sysctls": [{"name": ["x"]}]})
    assert "sysctl ['x'] is set" in "".join(loaded(tmp_path, odd=odd).warnings)


def changed(path: str, value: object) -> JsonObject:
    pod = template()
    *parents, last = path.split(".")
    place = pod
    for part in parents:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})  # type: ignore[index]
    place[last] = value
    return pod


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("kind", "Deployment", "kind: Pod"),
        ("apiVersion", "apps/v1", "apiVersion: v1"),
        ("status", {}, "status is not a field of a template"),
        ("spec", [], "spec is required"),
        ("metadata", "x", "metadata must be a map"),
        ("metadata.generateName", "x-", "metadata.generateName cannot be set"),
        ("metadata.finalizers", ["x"], "metadata.finalizers cannot be set"),
        ("metadata.ownerReferences", [], "metadata.ownerReferences cannot be set"),
        ("metadata.labels", {"app": "x"}, "metadata.labels cannot set app"),
        ("metadata.labels", {"managed-by": "x"}, "metadata.labels cannot set managed-by"),
        ("metadata.labels", {"ottoscaler.io/index": "0"}, "metadata.labels cannot set ottoscaler.io/index"),
        ("metadata.labels", {"a": 1}, "metadata.labels must be a map of strings"),
        ("metadata.annotations", {"ottoscaler.io/metadata": "{}"}, "cannot set ottoscaler.io/metadata"),
        ("metadata.annotations", {"ottoscaler.io/accepts": "image,volumes"}, "invalid value 'volumes'"),
        ("spec.ephemeralContainers", [], "spec.ephemeralContainers cannot be set"),
        ("spec.containers", [], "one container named worker, but has 0"),
        ("spec.containers", [{"name": "worker"}, {"name": "worker"}], "but has 2"),
        ("spec.containers", [{"name": "worker"}, {"image": "x"}], "spec.containers must all have a name"),
        ("spec.containers", {"worker": {}}, "spec.containers must be a list of maps"),
        ("spec.volumes", ["x"], "spec.volumes must be a list of maps"),
        ("spec.affinity", [1], "spec.affinity must be a map"),
        ("spec.affinity", {"nodeAffinity": [1]}, "nodeAffinity must be a map"),
        ("spec.containers.0.env", {"A": "1"}, "env must be a list of maps with a name"),
        ("spec.containers.0.env", [{"name": "OTTO_TASK_ID"}], "env cannot set OTTO_TASK_ID"),
        ("spec.containers.0.resources", {"limits": [1]}, "resources must be a map of maps"),
        ("spec.containers.0.image", 5, "image must be a string"),
        ("spec.containers.0.command", "sh", "command must be a list"),
    ],
)
def test_mistake_is_told_with_file_and_field(tmp_path: Path, path: str, value: object, words: str) -> None:
    told = problems(tmp_path, gpu=changed(path, value))
    assert told.startswith("gpu.yaml: ")
    assert words in told


def test_name_is_let_pass_so_that_kubectl_can_check_the_file(tmp_path: Path) -> None:
    templates = loaded(tmp_path, default=changed("metadata.name", "any"))
    assert planned(scale_up(), templates).pod(0, 0)["metadata"]["name"] == "otto-agent-ci-1717-0-0-0"


def test_namespace_is_ignored_like_the_name_and_another_one_is_warned_about(tmp_path: Path) -> None:
    pod = changed("metadata.namespace", "builds")
    pod["metadata"]["annotations"] = {"ottoscaler.io/env": ""}
    write(tmp_path, gpu=without_warnings(pod))
    templates = load_templates(str(tmp_path), agent_image="busybox", namespace="workers")
    made = planned(scale_up(profile="gpu"), templates).pod(0, 0)
    assert made["metadata"]["namespace"] == "workers"
    assert templates.warnings == (
        "gpu.yaml: metadata.namespace 'builds' is ignored; workers run in workers (NAMESPACE)",
    )
    assert load_templates(str(tmp_path), agent_image="busybox", namespace="builds").warnings == ()


def test_labels_that_every_worker_gets_may_stand_in_a_template(tmp_path: Path) -> None:
    ours = {"app": "otto-agent", "managed-by": "ottoscaler", "team": "a"}
    pod = planned(scale_up(), loaded(tmp_path, default=changed("metadata.labels", ours))).pod(0, 0)
    assert ours.items() <= pod["metadata"]["labels"].items()


def test_template_s_own_labels_and_annotations_are_kept(tmp_path: Path) -> None:
    meta = planned(scale_up(), loaded(tmp_path, default=changed("metadata.labels", {"team": "a"}))).pod(0, 0)
    assert meta["metadata"]["labels"]["team"] == "a"


def test_template_that_a_restricted_namespace_would_refuse_is_warned_about_by_name(tmp_path: Path) -> None:
    pod = without_warnings(template(hostNetwork=True, env=""))
    pod["spec"]["volumes"] = [{"name": "socket", "hostPath": {"path": "/run"}}]
    warnings = loaded(tmp_path, gpu=pod).warnings
    assert [warning.partition("refuse it: ")[2] for warning in warnings] == [
        "hostNetwork is set",
        "volume socket is a hostPath",
    ]
    assert all(
        warning.startswith("gpu.yaml: a restricted namespace would refuse it: ") for warning in warnings
    )


def test_template_that_does_not_harden_anything_is_warned_about(tmp_path: Path) -> None:
    told = " ".join(loaded(tmp_path, gpu=template()).warnings)
    for missing in ("allowPrivilegeEscalation", "ALL capabilities", "runAsNonRoot", "seccompProfile"):
        assert missing in told


@pytest.mark.parametrize(
    ("annotations", "warning"),
    [
        ({}, "events with env are refused: list the accepted names in the annotation ottoscaler.io/env"),
        ({"accepts": "env"}, "events with env are refused: list the accepted names in the annotation "),
        (
            {"accepts": "*", "env": "CI"},
            "annotation ottoscaler.io/env has no effect: this template ",
        ),
        (
            {"accepts": "cpu", "env": "CI"},
            "annotation ottoscaler.io/env has no effect: ottoscaler.io/a",
        ),
        ({"env": ""}, ""),
        ({"env": "CI"}, ""),
        ({"accepts": "env,cpu", "env": "CI"}, ""),
        ({"accepts": "*"}, ""),
        ({"accepts": "cpu"}, ""),
    ],
)
def test_profile_whose_two_annotations_contradict_each_other_about_env_is_warned_about(
    tmp_path: Path, annotations: dict[str, str], warning: str
) -> None:
    warnings = loaded(
        tmp_path,
        gpu=without_warnings(template(None, accepts=annotations.get("accepts"), env=annotations.get("env"))),
    ).warnings
    assert len(warnings) == bool(warning)
    assert all(each.startswith(f"gpu.yaml: {warning}") for each in warnings)


@pytest.mark.parametrize("names", ["*", "A B", "1A", "A*", "*_A", "A=1", "A_*,OTTO_X", "OTTO_*"])
def test_env_names_that_cannot_be_names_are_refused(tmp_path: Path, names: str) -> None:
    assert "gpu.yaml: annotation ottoscaler.io/env: invalid value" in problems(
        tmp_path, gpu=template(env=names)
    )
