"""Fields that nobody knows: refused, told or dropped, as the request's fieldValidation asks; since 1.25."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ottoscaler.local import LocalCluster
from ottoscaler.local.node.machine import ServerOptions

from .client import MERGE, ApiServer, Namespace, pod


def minor(namespace: Namespace) -> int:
    return int(namespace.server.call("GET", "/version")["minor"].rstrip("+"))


@pytest.fixture
def validating(namespace: Namespace) -> Namespace:
    """A namespace on a server that validates fields; the tests built against 1.20 are not run there."""
    if minor(namespace) < 25:
        pytest.skip("older than 1.25: unknown fields are dropped without a word")
    return namespace


def misspelt() -> dict[str, Any]:
    made = pod(nodeSelectr={"disk": "ssd"})
    made["spec"]["containers"][0]["imagePullPolcy"] = "Always"
    return made


UNKNOWN = ('unknown field "spec.containers[0].imagePullPolcy"', 'unknown field "spec.nodeSelectr"')


def test_unknown_field_is_dropped_from_what_is_kept(namespace: Namespace) -> None:
    reply = namespace.create(misspelt())
    assert reply.code == 201
    assert "nodeSelectr" not in reply["spec"]
    assert "imagePullPolcy" not in reply["spec"]["containers"][0]


def test_strict_refuses_and_names_every_unknown_field(validating: Namespace) -> None:
    reply = validating.server.call("POST", f"{validating.pods}?fieldValidation=Strict", misspelt())
    assert (reply.code, reply["reason"]) == (400, "BadRequest")
    begin = 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
    assert reply["message"].startswith(begin)
    assert sorted(reply["message"].removeprefix(begin).split(", ")) == sorted(UNKNOWN)


@pytest.mark.parametrize("query", ["", "?fieldValidation=", "?fieldValidation=Warn"])
def test_warn_is_the_default_and_warns_in_a_header(query: str, validating: Namespace) -> None:
    reply = validating.server.call("POST", f"{validating.pods}{query}", misspelt())
    assert reply.code == 201
    told = reply.headers["warning"]
    assert '299 - "unknown field \\"spec.nodeSelectr\\""' in told


def test_ignore_says_nothing(validating: Namespace) -> None:
    reply = validating.server.call("POST", f"{validating.pods}?fieldValidation=Ignore", misspelt())
    assert reply.code == 201
    assert "warning" not in reply.headers


def test_strict_takes_a_pod_whose_fields_are_known(validating: Namespace) -> None:
    reply = validating.server.call("POST", f"{validating.pods}?fieldValidation=Strict", pod())
    assert reply.code == 201
    assert "warning" not in reply.headers


def test_strict_refuses_a_field_that_stands_twice(validating: Namespace) -> None:
    text = json.dumps(pod()).replace('"spec": {', '"spec": {"hostname": "a", "hostname": "b", ', 1)
    reply = validating.server.call("POST", f"{validating.pods}?fieldValidation=Strict", text)
    assert reply.code == 400
    assert 'strict decoding error: duplicate field "spec.hostname"' in reply["message"]


def test_strict_update_and_patch_are_refused_too(validating: Namespace) -> None:
    made = validating.create(pod()).body
    path = f"{validating.pods}/{made['metadata']['name']}?fieldValidation=Strict"
    made["spec"]["nodeSelectr"] = {}
    reply = validating.server.call("PUT", path, made)
    assert (reply.code, reply["reason"]) == (400, "BadRequest")
    reply = validating.server.call("PATCH", path, {"spec": {"nodeSelectr": {}}}, MERGE)
    assert (reply.code, reply["reason"]) == (422, "Invalid")
    assert 'strict decoding error: unknown field "spec.nodeSelectr"' in reply["message"]


def test_another_word_is_refused(validating: Namespace) -> None:
    reply = validating.server.call("POST", f"{validating.pods}?fieldValidation=Always", pod())
    assert (reply.code, reply["reason"]) == (422, "Invalid")
    assert 'fieldValidation: Unsupported value: "Always"' in reply["message"]


def test_server_before_1_25_drops_without_a_word_whatever_is_asked() -> None:
    with LocalCluster(None, ServerOptions(minor=24), redis=False) as old:
        server = ApiServer(old.kubeconfig_path)
        reply = server.call("POST", "/api/v1/namespaces/default/pods?fieldValidation=Strict", misspelt())
    assert reply.code == 201
    assert "nodeSelectr" not in reply["spec"]
    assert "warning" not in reply.headers
