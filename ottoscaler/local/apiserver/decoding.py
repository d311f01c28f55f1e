"""Does the work of the API server's decoder: reads JSON, and refuses a field of the wrong type with 400.

Only fields that are validated or that the kubelets read have a shape here.
"""

from __future__ import annotations

import json
from typing import Any

from ottoscaler.local.apiserver import quantity
from ottoscaler.local.apiserver.statuses import bad_request, media_type
from ottoscaler.model import JsonObject


def decode_object(body: bytes, content_type: str, kind: str, api_version: str) -> JsonObject:
    """A request's body as an object of ``kind``. Raises ApiError 400 and 415 as the API server does."""
    if content_type not in ("", "application/json"):
        raise media_type(["application/json"])
    prefix = f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
    try:
        obj = json.loads(body)
    except ValueError as error:
        raise bad_request(f"{prefix}json parse error: {error}") from error
    if not isinstance(obj, dict):
        raise bad_request(f"{prefix}json parse error: json: cannot unmarshal a value that is no object")
    given = obj.get("kind") or kind
    if given != kind or (obj.get("apiVersion") or api_version) != api_version:
        raise bad_request(
            f'{given} in version "{obj.get("apiVersion") or api_version}" cannot be handled as a {kind}: '
            f"converting ({given}) to ({kind}): unknown conversion"
        )
    check_types(kind, obj, POD_SHAPE if kind == "Pod" else {"metadata": METADATA_SHAPE})
    return obj


_Shape = Any
_CONTAINER: _Shape = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str, "valueFrom": {}}],
    "workingDir": str,
    "imagePullPolicy": str,
    "terminationMessagePath": str,
    "terminationMessagePolicy": str,
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool, "subPath": str}],
    "ports": [{"containerPort": int}],
    "resources": {"limits": {"*": "quantity"}, "requests": {"*": "quantity"}},
    "securityContext": {"runAsUser": int, "runAsNonRoot": bool, "privileged": bool},
}
METADATA_SHAPE: _Shape = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "labels": {"*": str},
    "annotations": {"*": str},
    "finalizers": [str],
    "ownerReferences": [{}],
}
POD_SHAPE: _Shape = {
    "metadata": METADATA_SHAPE,
    "spec": {
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "volumes": [{"name": str}],
        "restartPolicy": str,
        "dnsPolicy": str,
        "nodeName": str,
        "nodeSelector": {"*": str},
        "serviceAccountName": str,
        "schedulerName": str,
        "priorityClassName": str,
        "activeDeadlineSeconds": int,
        "terminationGracePeriodSeconds": int,
        "automountServiceAccountToken": bool,
        "enableServiceLinks": bool,
        "hostNetwork": bool,
        "priority": int,
        "securityContext": {"runAsUser": int, "runAsNonRoot": bool},
        "tolerations": [{"key": str, "operator": str, "value": str, "effect": str, "tolerationSeconds": int}],
        "imagePullSecrets": [{"name": str}],
        "affinity": {},
        "schedulingGates": [{"name": str}],
    },
    "status": {},
}
_WORDS = {str: '" or n', int: "number", bool: "t, f or n"}


def check_types(kind: str, value: Any, shape: _Shape, path: str = "") -> None:
    """Raise ApiError 400 where a known field has a value of the wrong JSON type."""
    if value is None:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _undecodable(kind, path, "expects { or n", value)
        for key, one in value.items():
            inner = shape.get(key, shape.get("*"))
            if inner is not None:
                check_types(kind, one, inner, f"{path}.{key}" if path else key)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise _undecodable(kind, path, "expects [ or n", value)
        for one in value:
            check_types(kind, one, shape[0], path)
    elif shape == "quantity":
        _check_quantity(kind, path, value)
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise _undecodable(kind, path, f"ReadString: expects {_WORDS[shape]}", value)


def _check_quantity(kind: str, path: str, value: Any) -> None:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise quantity.BadQuantity(f"unexpected {value!r}")
        quantity.parse(str(value))
    except quantity.BadQuantity as error:
        raise _undecodable(kind, path, f"unmarshalerDecoder: {error}", value) from error


def _undecodable(kind: str, path: str, why: str, value: object) -> Exception:
    found = str(value)[:40]
    return bad_request(
        f'{kind} in version "v1" cannot be handled as a {kind}: {path}: {why}, but found {found}'
    )
