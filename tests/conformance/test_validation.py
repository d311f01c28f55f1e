"""Fields that make a Pod invalid: 422, with a cause that names each of them."""

from __future__ import annotations

from typing import Any

import pytest

from .client import Namespace, pod

Case = tuple[dict[str, Any], str, str]

CASES: dict[str, Case] = {
    "no name": (pod(None), "FieldValueRequired", "metadata.name"),
    "name in capitals": (pod("A_b"), "FieldValueInvalid", "metadata.name"),
    "name too long": (pod("a" * 254), "FieldValueInvalid", "metadata.name"),
    "label key": (pod(metadata={"labels": {"a b": "c"}}), "FieldValueInvalid", "metadata.labels"),
    "label value": (pod(metadata={"labels": {"a": "c d"}}), "FieldValueInvalid", "metadata.labels"),
    "label too long": (pod(metadata={"labels": {"a": "x" * 64}}), "FieldValueInvalid", "metadata.labels"),
    "label prefix": (pod(metadata={"labels": {"A_/b": "x"}}), "FieldValueInvalid", "metadata.labels"),
    "annotation key": (pod(annotations={"a b": "c"}), "FieldValueInvalid", "metadata.annotations"),
    "annotations too large": (
        pod(annotations={"a": "x" * 262145}),
        "FieldValueTooLong",
        "metadata.annotations",
    ),
    "no containers": (pod(containers=[]), "FieldValueRequired", "spec.containers"),
    "no image": (pod(container={"image": ""}), "FieldValueRequired", "spec.containers[0].image"),
    "image with spaces around": (
        pod(container={"image": " x"}),
        "FieldValueInvalid",
        "spec.containers[0].image",
    ),
    "no container name": (pod(container={"name": ""}), "FieldValueRequired", "spec.containers[0].name"),
    "container name": (pod(container={"name": "A B"}), "FieldValueInvalid", "spec.containers[0].name"),
    "same name twice": (
        pod(containers=[{"name": "w", "image": "i"}, {"name": "w", "image": "i"}]),
        "FieldValueDuplicate",
        "spec.containers[1].name",
    ),
    "negative cpu": (
        pod(container={"resources": {"requests": {"cpu": "-1"}}}),
        "FieldValueInvalid",
        "spec.containers[0].resources.requests[cpu]",
    ),
    "request over limit": (
        pod(container={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
        "FieldValueInvalid",
        "spec.containers[0].resources.requests",
    ),
    "unknown resource": (
        pod(container={"resources": {"requests": {"foo": "2"}}}),
        "FieldValueInvalid",
        "spec.containers[0].resources.requests[foo]",
    ),
    "variable without a name": (
        pod(container={"env": [{"name": "", "value": "x"}]}),
        "FieldValueRequired",
        "spec.containers[0].env[0].name",
    ),
    "variable that starts with a digit": (
        pod(container={"env": [{"name": "1a"}]}),
        "FieldValueInvalid",
        "spec.containers[0].env[0].name",
    ),
    "variable with a sign": (
        pod(container={"env": [{"name": "A="}]}),
        "FieldValueInvalid",
        "spec.containers[0].env[0].name",
    ),
    "restart policy": (pod(restartPolicy="Sometimes"), "FieldValueNotSupported", "spec.restartPolicy"),
    "dns policy": (pod(dnsPolicy="X"), "FieldValueNotSupported", "spec.dnsPolicy"),
    "deadline of nothing": (pod(activeDeadlineSeconds=0), "FieldValueInvalid", "spec.activeDeadlineSeconds"),
    "pull policy": (
        pod(container={"imagePullPolicy": "X"}),
        "FieldValueNotSupported",
        "spec.containers[0].imagePullPolicy",
    ),
    "message policy": (
        pod(container={"terminationMessagePolicy": "Y"}),
        "FieldValueInvalid",
        "spec.containers[0].terminationMessagePolicy",
    ),
    "mount of no volume": (
        pod(container={"volumeMounts": [{"name": "h", "mountPath": "/h"}]}),
        "FieldValueNotFound",
        "spec.containers[0].volumeMounts[0].name",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_wrong_field_is_named(namespace: Namespace, case: Case) -> None:
    body, reason, field = case
    reply = namespace.create(body)
    name = body["metadata"].get("name", "")
    assert (reply.code, reply["status"], reply["reason"]) == (422, "Failure", "Invalid")
    assert reply["message"].startswith(f'Pod "{name}" is invalid: ')
    assert reply["details"]["kind"] == "Pod"
    assert reply["details"].get("name", "") == name
    causes = [(cause["reason"], cause["field"]) for cause in reply["details"]["causes"]]
    assert (reason, field) in causes
    assert all(cause["message"] in reply["message"] for cause in reply["details"]["causes"])


def test_every_wrong_field_is_named_at_once(namespace: Namespace) -> None:
    reply = namespace.create(pod(container={"image": ""}, restartPolicy="X"))
    fields = {cause["field"] for cause in reply["details"]["causes"]}
    assert fields == {"spec.containers[0].image", "spec.restartPolicy"}
    assert reply["message"].startswith('Pod "a" is invalid: [')


@pytest.mark.parametrize("name", ["a", "a.b", "a-b", "0", "a" * 253])
def test_dns_subdomains_are_names(namespace: Namespace, name: str) -> None:
    assert namespace.create(pod(name), "?dryRun=All").code == 201


@pytest.mark.parametrize("name", ["A-b.c", "_x", "a.b-c_D"])
def test_variables_may_hold_dots_and_dashes(namespace: Namespace, name: str) -> None:
    assert namespace.create(pod(container={"env": [{"name": name, "value": "1"}]}), "?dryRun=All").code == 201
