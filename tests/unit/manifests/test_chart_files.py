"""What can be held of the chart without Helm; tests/chart has the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ottoscaler.config.settings import NAMES, variable
from tests.tools.chart_files import CHART, ELSEWHERE, ROOT, files, values

Json = dict[str, Any]

VALUES: Json = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Json = json.loads((CHART / "values.schema.json").read_text())
# Kubernetes's own objects, and names that the operator chooses.
OPEN = {
    "global", "nodeSelector", "podAnnotations", "podLabels", "resources.limits", "resources.requests",
    "serviceAccount.annotations", "templates", "workers.quota",
}  # fmt: skip


@pytest.mark.parametrize(("path", "text"), files().items(), ids=[path.name for path in files()])
def test_generated_file_is_what_make_chart_files_writes(path: Any, text: str) -> None:
    assert path.read_text() == text, "make chart-files"


def test_chart_s_version_is_the_one_that_production_names() -> None:
    """In the source: the newest release, or the first to come. A release packs the chart with its tag."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    overlay = yaml.safe_load((ROOT / "manifests/overlays/production/service/kustomization.yaml").read_text())
    (image,) = overlay["images"]
    assert chart["appVersion"] == chart["version"] == image["newTag"]
    assert chart["kubeVersion"] == ">=1.21.0-0"


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value and path != "settings" and path != "resources":
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path


def test_every_value_is_described() -> None:
    assert sorted(each.path for each in values()) == sorted(leaves(VALUES))


def test_schema_has_every_value_and_is_closed() -> None:
    def compare(schema: Json, value: Any, path: str) -> None:
        if schema.get("type") != "object" or path in OPEN:
            return
        assert schema["additionalProperties"] is False, path
        if not value:  # such as affinity, whose fields are Kubernetes's
            return
        names = schema["properties"].keys() - {"global"}
        assert value.keys() <= names if path == "settings" else value.keys() == names, path
        for name in value:
            compare(schema["properties"][name], value[name], f"{path}.{name}".lstrip("."))

    compare(SCHEMA, VALUES, "")


def test_schema_knows_every_setting_but_those_that_other_values_make() -> None:
    known = {variable(name) for name in NAMES}
    assert known >= ELSEWHERE
    assert SCHEMA["properties"]["settings"]["properties"].keys() == known - ELSEWHERE


def test_no_default_is_a_secret_and_every_key_of_the_secret_is_a_name() -> None:
    assert not [name for name in VALUES["settings"] if "PASSWORD" in name or name == "REDIS_URL"]
    assert set(VALUES["redis"]["secret"]) == {
        "name",
        "urlKey",
        "usernameKey",
        "passwordKey",
        "passwordAsFile",
    }


def test_steps_of_a_release_name_every_file_that_holds_the_version() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    (step,) = re.findall(r"^2\. .*?(?=^3\. )", (ROOT / "docs" / "releases.md").read_text(), re.M | re.S)
    # After a name, as a tag, or as a value; not as an example of something else's version.
    holds = re.compile(rf"(?:ottoscaler:|ref=v|`v|[tT]ag: |ersion: ){re.escape(version)}\b")
    files = [file for folder in ("docs", "manifests", "charts") for file in (ROOT / folder).rglob("*")]
    texts = {
        str(file.relative_to(ROOT)): file.read_text() for file in files if file.suffix in (".md", ".yaml")
    }
    found = {name for name, text in texts.items() if holds.search(text)}
    assert len(found) >= 4
    assert {name for name in found if f"`{name}`" not in step} == set()
    said = re.findall(r"(?:ottoscaler:|ref=v|newTag: |tag `v)(\d+\.\d+\.\d+)", texts["docs/kubernetes.md"])
    assert set(said) == {version}
