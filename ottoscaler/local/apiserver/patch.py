"""The three patch formats of the API server: merge patch, strategic merge patch, JSON patch.

The given objects are never changed. The result shares its unchanged parts with them.
"""

from __future__ import annotations

import copy
from typing import Any

from ottoscaler.local.apiserver.statuses import ApiError
from ottoscaler.model import JsonObject

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"

# The lists that strategic merge patch merges by a key, from the patchMergeKey tags of
# k8s.io/api/core/v1; every other list is replaced.
MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "envFrom": None,
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "podIPs": "ip",
    "addresses": "type",
    "taints": None,
    "ownerReferences": "uid",
    "schedulingGates": "name",
    "secrets": "name",
    "ports": "containerPort",
}
PRIMITIVE_SETS = frozenset({"finalizers"})


def merge(target: Any, patch: Any) -> Any:
    """Merge as in RFC 7386: ``null`` removes a member, objects are merged, and any other value replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic_merge(target: Any, patch: Any) -> Any:
    """Merge as :func:`merge` does, but also merge the lists of MERGE_KEYS by key, and obey ``$patch``."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith(("$setElementOrder/", "$retainKeys", "$patch")):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name, []) if item not in value]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merge_list(key, result.get(key), value)
        else:
            result[key] = strategic_merge(result.get(key), value)
    return result


def _merge_list(name: str, target: Any, patch: list[Any]) -> list[Any]:
    old = list(target) if isinstance(target, list) else []
    if name in PRIMITIVE_SETS:
        return old + [item for item in patch if item not in old]
    merge_key = MERGE_KEYS.get(name)
    if merge_key is None or not all(isinstance(item, dict) for item in patch):
        return patch
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    for item in patch:
        place = next((i for i, one in enumerate(old) if one.get(merge_key) == item.get(merge_key)), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del old[place]
        elif place is None:
            old.append(strategic_merge({}, item))
        else:
            old[place] = strategic_merge(old[place], item)
    return old


def json_patch(target: JsonObject, operations: Any) -> Any:
    """Apply the operations as in RFC 6902. For one that fails, raises ApiError 422 as the API server does."""
    document: Any = copy.deepcopy(target)
    try:
        for operation in operations:
            document = _operate(document, operation)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        message = f"the server rejected our request due to an error in our request: {error}"
        raise ApiError(422, "Invalid", message, {}) from error
    return document


def _operate(document: Any, operation: JsonObject) -> Any:
    kind, path = operation["op"], operation["path"]
    if kind in ("move", "copy"):
        value = copy.deepcopy(_at(document, operation["from"]))
        if kind == "move":
            document = _change(document, operation["from"], "remove", None)
        return _change(document, path, "add", value)
    if kind == "test":
        if _at(document, path) != operation.get("value"):
            raise ValueError(f"testing value {path} failed")
        return document
    if kind not in ("add", "replace", "remove"):
        raise ValueError(f"unexpected kind {kind}")
    return _change(document, path, kind, operation.get("value"))


def _words(path: str) -> list[str]:
    return [word.replace("~1", "/").replace("~0", "~") for word in path.split("/")[1:]]


def _at(document: Any, path: str) -> Any:
    for word in _words(path):
        document = document[int(word)] if isinstance(document, list) else document[word]
    return document


def _change(document: Any, path: str, kind: str, value: Any) -> Any:
    words = _words(path)
    if not words:
        return value
    parent: Any = document
    for word in words[:-1]:
        parent = parent[int(word)] if isinstance(parent, list) else parent[word]
    last = words[-1]
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
        if kind == "add":
            parent.insert(place, value)
        elif kind == "replace":
            parent[place] = value
        else:
            del parent[place]
    elif kind == "add":
        parent[last] = value
    elif kind == "replace":
        parent[last]
        parent[last] = value
    else:
        del parent[last]
    return document
