"""Overlays from a repository, and overlays copied to another place, as docs/kubernetes.md says to use them.

A repository on this disk stands for the remote one: kustomize clones either with git.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.manifests.kustomize import OVERLAYS, ROOT, find
from tests.unit.manifests.overlays import NAMES, Json

REPOSITORY = "https://github.com/ottoscaler/ottoscaler"
# The newest release's, as everything that the steps of a release change (docs/releases.md).
VERSION = "v" + yaml.safe_load((ROOT / "charts" / "ottoscaler" / "Chart.yaml").read_text())["appVersion"]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()


def git(directory: Path, *arguments: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a repository with our manifests, tagged as a release is."""
    directory = tmp_path_factory.mktemp("remote") / "ottoscaler"
    shutil.copytree(ROOT / "manifests", directory / "manifests")
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "manifests")
    git(directory, "tag", VERSION)
    return f"file://{directory}"


def build(where: str | Path) -> list[Json]:
    command = ["kubectl", "kustomize", str(where)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return list(yaml.safe_load_all(text))


def block(beginning: str) -> str:
    """The one indented block of the page that begins so, without its indentation."""
    lines = PAGE.splitlines()
    (first,) = [n for n, line in enumerate(lines) if line.lstrip().startswith(beginning)]
    margin = " " * (len(lines[first]) - len(lines[first].lstrip()))
    rest = itertools.takewhile(lambda line: not line.strip() or line.startswith(margin), lines[first:])
    return "\n".join(line.removeprefix(margin) for line in rest).rstrip() + "\n"


if shutil.which("kubectl") and shutil.which("git"):

    @pytest.mark.parametrize("overlay", NAMES)
    def test_overlay_is_built_from_a_tag_of_the_repository(overlay: str, repository: str) -> None:
        address = f"{repository}//manifests/overlays/{overlay}?ref={VERSION}"
        assert build(address) == build(OVERLAYS / overlay)

    def test_own_overlay_of_the_docs_changes_what_it_names(repository: str, tmp_path: Path) -> None:
        text = block("# my-otto/kustomization.yaml")
        assert REPOSITORY in text
        (tmp_path / "kustomization.yaml").write_text(text.replace(REPOSITORY, repository))
        made, expected = build(tmp_path), build(OVERLAYS / "production")
        deployment = find(made, "Deployment")["spec"]
        assert deployment["replicas"] == 5
        assert find(made, "ResourceQuota")["spec"]["hard"]["pods"] == str(5 * 120)
        (container,) = deployment["template"]["spec"]["containers"]
        assert container["image"] == f"registry.mine.example/otto/ottoscaler:{VERSION[1:]}"
        (data,) = [o["data"] for o in made if o["metadata"]["name"].startswith("ottoscaler-settings")]
        assert data["OTTO_MAX_WORKERS"] == "120"
        assert sorted(o["kind"] for o in made) == sorted(o["kind"] for o in expected)

    @pytest.mark.parametrize("overlay", NAMES)
    def test_copied_overlay_is_built_anywhere_after_the_line_of_the_docs(
        overlay: str, repository: str, tmp_path: Path
    ) -> None:
        shutil.copytree(OVERLAYS / overlay, tmp_path / "my-otto")
        line = block("sed -i -E").replace(REPOSITORY, repository)
        subprocess.run(["sh", "-ec", line], cwd=tmp_path, check=True, timeout=60)
        assert "../" not in "".join(p.read_text() for p in tmp_path.rglob("kustomization.yaml"))
        assert build(tmp_path / "my-otto") == build(OVERLAYS / overlay)
