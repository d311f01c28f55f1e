"""The commands that our Makefile gives to docker, kind and kubectl: stand-ins on a PATH of their own write
down what they are called with. That says nothing about what those tools then do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.manifests.kustomize import ROOT

TOOLS = ("docker", "kind", "kubectl")
ID = "0123abcd"
RENDERED = "image: ottoscaler:dev\\nimage: redis:7\\n"
EVENT = "XADD otto:scale:events * type scale_up pod_count 3 task_id hello"


class Machine:
    """A PATH with nothing on it but make, a shell, filters, and stand-ins for tools that are installed."""

    def __init__(self, directory: Path, *installed: str, clusters: str = "", engine: bool = True) -> None:
        self.path = directory / "bin"
        self.calls_file = directory / "calls"
        self.applied = directory / "applied"  # what kubectl was given to apply
        self.path.mkdir()
        for tool in ("make", "sh", "grep", "sed", "cat"):
            found = shutil.which(tool)
            assert found, tool
            (self.path / tool).symlink_to(found)
        answers = {
            "kind": f"[ \"$1\" = get ] && printf '%s' '{clusters}' || :",
            "docker": f'[ "$1" != version ] || exit {int(not engine)}; '
            f'[ "$2" != inspect ] || echo sha256:{ID}',
            "kubectl": f"case \"$*\" in *' kustomize '*) printf '{RENDERED}' ;; "
            f"*' apply '*) cat >>'{self.applied}' ;; esac",
        }
        for tool in installed:
            note = f"echo {tool} \"$@\" >>'{self.calls_file}'"
            stub = self.path / tool
            stub.write_text(f"#!{shutil.which('sh')}\n{note}\n{answers.get(tool, ':')}\n")
            stub.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.path), "HOME": os.environ.get("HOME", "/")}
        command = [str(self.path / "make"), "--no-print-directory", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def calls(self) -> list[str]:
        """What the stand-ins were called with, but for the questions that change nothing."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line not in ("docker version", "kind get clusters")]


def test_run_starts_a_cluster_builds_deploys_and_follows_the_log(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS)
    done = machine.make("run")
    assert done.returncode == 0, done.stderr
    kubectl = "kubectl --context kind-ottoscaler --namespace ottoscaler"
    image = f"ottoscaler:dev-{ID}"
    assert machine.calls() == [
        "kind create cluster --name ottoscaler --wait 180s",
        "docker build --build-arg VERSION=0.0.0+unversioned --build-arg REVISION=unknown "
        "--build-arg CREATED=1970-01-01T00:00:00Z --build-arg SOURCE_DATE_EPOCH=0 --tag ottoscaler:dev .",
        "docker image inspect --format {{.Id}} ottoscaler:dev",
        f"docker tag ottoscaler:dev {image}",
        f"kind load docker-image {image} --name ottoscaler",
        f"docker image rm {image}",
        f"{kubectl} kustomize manifests/overlays/kind",
        f"{kubectl} apply --filename -",
        f"{kubectl} rollout status statefulset/redis --timeout 180s",
        f"{kubectl} rollout status deployment/ottoscaler --timeout 180s",
        f"{kubectl} logs --selector app=ottoscaler --follow --tail 50 --max-log-requests 10",
    ]


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_image_is_built_by_what_is_here_where_docker_has_no_engine(engine: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, "docker", engine, engine=False)
    assert machine.make("image").returncode == 0
    (call,) = machine.calls()
    assert call.startswith(f"{engine} build --layers=false --timestamp 0 --build-arg VERSION=")
    assert call.endswith("--tag ottoscaler:dev .")


def test_engine_can_be_chosen(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "docker", "podman", "buildah")
    assert machine.make("image", "ENGINE=buildah", "PYTHON_IMAGE=mine:1").returncode == 0
    (call,) = machine.calls()
    assert call.startswith("buildah build ")
    assert "--build-arg PYTHON_IMAGE=mine:1 " in call


def test_image_s_version_is_the_package_s_the_tag_or_the_commits_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    (folder / "image").mkdir(parents=True)
    shutil.copy(ROOT / "image" / "build", folder / "image" / "build")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "init.defaultBranch=main"]

    def version(*commands: str) -> str:
        for command in commands:
            subprocess.run([*git, *command.split()], cwd=folder, check=True, capture_output=True)
        shown = subprocess.run(
            ["image/build", "x"], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        return str(next(a.removeprefix("VERSION=") for a in shown.stdout.splitlines() if "VERSION=" in a))

    printer = tmp_path / "printer"
    printer.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    printer.chmod(0o755)
    environment = {**os.environ, "ENGINE": str(printer), "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    assert version() == "0.0.0+unversioned"
    assert re.fullmatch(r"0\.0\.0\.post1\.dev1\+g[0-9a-f]{12}", version("init", "add .", "commit -m one"))
    assert version("tag v1.2.3") == "1.2.3"
    assert re.fullmatch(r"1\.2\.3\.post1\.dev1\+g[0-9a-f]{12}", version("commit --allow-empty -m two"))
    (folder / "image" / "build").open("a").write("# mine\n")
    assert version().endswith(".dirty")


def test_deploy_makes_one_rollout_since_the_image_s_id_is_its_tag(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS)
    assert machine.make("deploy").returncode == 0
    assert machine.applied.read_text() == f"image: ottoscaler:dev-{ID}\nimage: redis:7\n"
    assert not [call for call in machine.calls() if "restart" in call]


def test_run_takes_the_cluster_that_is_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS, clusters="other\nottoscaler\n")
    assert machine.make("run").returncode == 0
    assert not [call for call in machine.calls() if call.startswith("kind create")]


def test_cluster_with_a_longer_name_is_not_taken_for_ours(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS, clusters="ottoscaler-2\n")
    assert machine.make("kind-up").returncode == 0
    assert machine.calls() == ["kind create cluster --name ottoscaler --wait 180s"]


def test_event_shows_its_redis_cli_line_and_sends_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS)
    done = machine.make("event")
    kubectl = "kubectl --context kind-ottoscaler --namespace ottoscaler"
    command = f"{kubectl} exec statefulset/redis -- redis-cli {EVENT}"
    assert machine.calls() == [command]
    assert done.stdout.splitlines() == [command.replace("*", "'*'")]


def test_event_sends_another_event_on_demand(tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS)
    machine.make("event", "EVENT=type scale_down task_id hello")
    assert machine.calls()[0].endswith("redis-cli XADD otto:scale:events * type scale_down task_id hello")


TARGETS = ("run", "kind-up", "image", "deploy", "event", "workers", "results", "logs", "kind-down")


@pytest.mark.parametrize("target", TARGETS)
def test_every_command_names_its_cluster(target: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, *TOOLS)
    assert machine.make(target, "KIND_CLUSTER=mine").returncode == 0
    assert machine.calls()
    for call in machine.calls():
        tool = call.split()[0]
        named = {"kubectl": "--context kind-mine ", "kind": "--name mine", "docker": "docker "}
        assert named[tool] in call


NEEDS = [
    *(("run", tool) for tool in TOOLS),
    *(("deploy", tool) for tool in TOOLS),
    ("kind-up", "kind"),
    ("image", "docker"),
    ("event", "kubectl"),
    ("workers", "kubectl"),
    ("results", "kubectl"),
    ("logs", "kubectl"),
    ("kind-down", "kind"),
]


@pytest.mark.parametrize(("target", "missing"), NEEDS)
def test_missing_tool_is_one_sentence_that_points_at_the_demo(
    target: str, missing: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, *(tool for tool in TOOLS if tool != missing))
    done = machine.make(target)
    assert done.returncode != 0
    sentence, *rest = done.stderr.splitlines()
    assert sentence.startswith(f"make: {missing} is missing")
    assert sentence.endswith("make demo")
    assert all(line.startswith("make: ***") for line in rest)
    assert machine.calls() == []


@pytest.mark.parametrize("target", ["run", "kind-up", "image", "deploy"])
def test_docker_without_an_engine_is_one_sentence_that_points_at_the_demo(
    target: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, *TOOLS, engine=False)
    done = machine.make(target)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("make: docker has no engine running")
    assert "make demo" in done.stderr.splitlines()[0]
    assert machine.calls() == []


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_explained_by_help(target: str) -> None:
    lines = (ROOT / "kind.mk").read_text().splitlines()
    assert [line for line in lines if line.startswith(f"{target}:") and " ## " in line]
