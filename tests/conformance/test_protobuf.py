"""What kubectl sends as protobuf from some version on (1.36 does, 1.32 does not): it is read like JSON."""

from __future__ import annotations

import pytest

from .client import ApiServer, Namespace, Reply

PROTOBUF = "application/vnd.kubernetes.protobuf"


def message(**fields: bytes) -> bytes:
    """A protobuf message of texts and messages: ``f2`` is its second field."""
    assert all(len(value) < 128 for value in fields.values())
    return b"".join(bytes((int(name[1:]) << 3 | 2, len(value))) + value for name, value in fields.items())


def envelope(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    """An object as Go's clients send it."""
    named = message(f1=api_version.encode(), f2=kind.encode())
    return b"k8s\0" + message(f1=named, f2=raw, f3=b"", f4=b"")


def named(name: str, **more: bytes) -> bytes:
    """An object's metadata as kubectl writes it, with the empty fields that it does not leave out."""
    empty = b"\x38\x00" + message(f8=b"")  # generation 0, no time of creation
    return message(f1=message(f1=name.encode(), f2=b"", f3=b"", f4=b"", f5=b"", f6=b"") + empty, **more)


def post(server: ApiServer, path: str, body: bytes) -> Reply:
    return server.call("POST", path, body, PROTOBUF, {"Accept": "application/json"})


def test_created_object_is_the_one_that_was_sent(namespace: Namespace) -> None:
    pair = message(f1=b"pods", f2=message(f1=b"3"))
    quota = envelope("ResourceQuota", named("q", f2=message(f1=pair), f3=b""))
    reply = post(namespace.server, f"{namespace.path}/resourcequotas", quota)
    assert (reply.code, reply["spec"]) == (201, {"hard": {"pods": "3"}})
    label = message(f1=b"a", f2=b"b")
    metadata = message(f1=b"c", f11=label)
    texts = message(f1=b"k", f2=b"v"), message(f1=b"empty", f2=b"")
    binary = message(f1=b"b", f2=b"\x00\xff")
    body = (
        message(f1=metadata) + message(f2=texts[0]) + message(f2=texts[1]) + message(f3=binary) + b"\x20\x01"
    )
    reply = post(namespace.server, f"{namespace.path}/configmaps", envelope("ConfigMap", body))
    assert (reply.code, reply["data"], reply["binaryData"]) == (201, {"k": "v", "empty": ""}, {"b": "AP8="})
    assert (reply["metadata"]["labels"], reply["immutable"]) == ({"a": "b"}, True)


def test_access_review_tells_what_it_was_asked(namespace: Namespace) -> None:
    asked = message(f1=namespace.name.encode(), f2=b"create", f3=b"", f4=b"", f5=b"pods", f6=b"", f7=b"")
    status = b"\x08\x00" + message(f2=b"", f3=b"") + b"\x20\x00"
    body = named("", f2=message(f1=asked), f3=status)
    group = "authorization.k8s.io/v1"
    reply = post(
        namespace.server,
        f"/apis/{group}/selfsubjectaccessreviews",
        envelope("SelfSubjectAccessReview", body, group),
    )
    assert (reply.code, reply["status"]["allowed"]) == (201, True)
    attributes = {"namespace": namespace.name, "verb": "create", "resource": "pods"}
    assert reply["spec"] == {"resourceAttributes": attributes}


@pytest.mark.parametrize("end", [3, 9, -1])
def test_object_that_is_cut_off_is_refused(namespace: Namespace, end: int) -> None:
    whole = envelope("ConfigMap", named("c", f2=message(f1=b"k", f2=b"v")))
    reply = post(namespace.server, f"{namespace.path}/configmaps", whole[:end])
    assert reply.code in (400, 415)
    assert namespace.server.call("GET", f"{namespace.path}/configmaps/c").code == 404
