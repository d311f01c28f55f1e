"""The manifests as a real API server sees them: valid, and with no field that it does not know."""

from __future__ import annotations

import copy

import pytest

from tests.harness.sandbox import Sandbox
from tests.real.manifests import Json, lost, minor_version, moved, post, unexpectedly_lost
from tests.unit.manifests.kustomize import OVERLAYS, find, render

pytestmark = pytest.mark.real


def names(overlay: str) -> list[tuple[str, str, str]]:
    return [(overlay, o["kind"], o["metadata"]["name"]) for o in render(OVERLAYS / overlay)]


OBJECTS = [*names("kind"), *names("production"), *names("openshift")]


@pytest.mark.parametrize(("overlay", "kind", "name"), OBJECTS)
def test_object_is_valid_and_none_of_its_fields_is_unknown(
    overlay: str, kind: str, name: str, place: Sandbox
) -> None:
    item = find(moved(overlay, place.kube.namespace), kind, name)
    if "namespace" not in item["metadata"]:  # the cluster may have it already
        item["metadata"]["name"] = f"{place.kube.namespace}-{name}"
    status, answer = post(place.kube, item, dry_run=True)
    assert status == 201, answer
    sent = {k: v for k, v in item.items() if k != "apiVersion"}
    assert unexpectedly_lost(sent, answer, minor_version(place.kube)) == []


def test_misspelt_field_would_be_found(place: Sandbox) -> None:
    item: Json = copy.deepcopy(find(moved("kind", place.kube.namespace), "Deployment"))
    item["spec"]["template"]["spec"]["enableServiceLink"] = False
    _, answer = post(place.kube, item, dry_run=True)
    assert ".spec.template.spec.enableServiceLink" in lost(item, answer)
