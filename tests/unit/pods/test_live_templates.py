"""Templates that change while they are used: what is taken up, what stays, and what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ottoscaler.errors import BadEvent
from ottoscaler.model import JsonObject
from ottoscaler.pods import live_templates
from ottoscaler.pods.live_templates import LiveTemplates
from ottoscaler.pods.template_files import MAX_FILES
from ottoscaler.pods.templates import TemplateDirectory, load_templates
from tests.harness.configmap import publish
from tests.harness.pod_makers import template

BROKEN = "kind: Deployment"


def texts(**templates: JsonObject | str) -> Mapping[str, str]:
    return {
        f"{profile}.yaml": content if isinstance(content, str) else yaml.safe_dump(content)
        for profile, content in templates.items()
    }


def image(name: str) -> JsonObject:
    return template({"image": f"team/{name}"})


def live(directory: Path, **templates: JsonObject | str) -> LiveTemplates:
    publish(directory, texts(**templates))
    first = load_templates(str(directory), agent_image="busybox:latest")
    return LiveTemplates(TemplateDirectory(str(directory), "busybox:latest"), first)


def image_of(templates: LiveTemplates, profile: str) -> str:
    return str(templates.get(profile).worker["image"])


def test_change_is_taken_up_at_the_next_look_and_a_look_without_one_reads_nothing(tmp_path: Path) -> None:
    templates = live(tmp_path, gpu=image("one"))
    templates.look()
    before = templates.current
    assert not templates.look()
    publish(tmp_path, texts(gpu=image("two")))
    assert image_of(templates, "gpu") == "team/one"
    assert templates.look()
    assert templates.current is not before
    assert image_of(templates, "gpu") == "team/two"


def test_file_that_is_written_in_place_is_taken_up(tmp_path: Path) -> None:
    templates = live(tmp_path, gpu=image("one"))
    templates.look()
    (tmp_path / "gpu.yaml").write_text(texts(gpu=image("other"))["gpu.yaml"])
    assert templates.look()
    assert image_of(templates, "gpu") == "team/other"


def test_profile_that_nobody_knows_is_looked_for_at_once(tmp_path: Path) -> None:
    templates = live(tmp_path)
    with pytest.raises(BadEvent, match="unknown profile 'gpu'"):
        templates.get("gpu")
    publish(tmp_path, texts(gpu=image("one")))
    assert image_of(templates, "gpu") == "team/one"


def test_broken_new_version_leaves_the_last_good_one_in_use(tmp_path: Path) -> None:
    templates = live(tmp_path, gpu=image("one"), default=image("default"), late=image("one"))
    publish(tmp_path, texts(gpu=BROKEN, default=BROKEN, late=image("two"), never=BROKEN))
    templates.look()
    assert [image_of(templates, each) for each in ("gpu", "default", "late")] == [
        "team/one", "team/default", "team/two",
    ]  # fmt: skip
    with pytest.raises(BadEvent, match=r"the template of 'never' is invalid: never\.yaml"):
        templates.get("never")
    assert sorted({problem.partition(":")[0] for problem in templates.current.problems}) == [
        "default.yaml", "gpu.yaml", "never.yaml",
    ]  # fmt: skip
    publish(tmp_path, texts(gpu=image("three"), default=image("default")))
    templates.look()
    assert templates.current.problems == ()
    assert image_of(templates, "gpu") == "team/three"


def test_directory_that_cannot_be_read_changes_nothing_and_is_a_problem(tmp_path: Path) -> None:
    directory = tmp_path / "templates"
    templates = live(directory, gpu=image("one"))
    directory.rename(tmp_path / "elsewhere")
    templates.look()
    assert image_of(templates, "gpu") == "team/one"
    (problem,) = templates.current.problems
    assert "cannot be read" in problem
    (tmp_path / "elsewhere").rename(directory)
    templates.look()
    assert templates.current.problems == ()


def test_removed_profile_is_unknown_to_new_events_and_known_to_those_in_flight(tmp_path: Path) -> None:
    templates = live(tmp_path, gpu=image("one"))
    publish(tmp_path, texts(gpu=image("two")))
    templates.look()
    publish(tmp_path, texts())
    templates.look()
    with pytest.raises(BadEvent, match="unknown profile 'gpu'"):
        templates.get("gpu")
    assert templates.last_known("gpu").worker["image"] == "team/two"
    with pytest.raises(BadEvent, match="unknown profile 'cpu'"):
        templates.last_known("cpu")
    publish(tmp_path, texts(gpu=image("three")))
    assert templates.last_known("gpu").worker["image"] == "team/three"


def test_default_that_was_removed_gives_way_to_the_built_in_one_as_at_a_start(tmp_path: Path) -> None:
    templates = live(tmp_path, default=image("one"))
    publish(tmp_path, texts())
    templates.look()
    assert templates.get("default").builtin


def test_so_many_removed_profiles_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live_templates.MOST_REMOVED == MAX_FILES
    monkeypatch.setattr(live_templates, "MOST_REMOVED", 1)
    templates = live(tmp_path, a=image("a"), b=image("b"))
    for left in (texts(b=image("b")), texts()):
        publish(tmp_path, left)
        templates.look()
    assert templates.last_known("b").profile == "b"
    with pytest.raises(BadEvent):
        templates.last_known("a")


def test_built_in_template_alone_is_never_read_again() -> None:
    first = load_templates(None, agent_image="busybox:latest")
    templates = LiveTemplates(TemplateDirectory("", "busybox:latest"), first)
    assert not templates.look(again=True)
    assert templates.current is first
