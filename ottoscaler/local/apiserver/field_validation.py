"""Drops fields that Kubernetes does not know, and reports them as the request asks. Event loop thread only.

``fieldValidation`` is ``Strict`` (400, or 422 for a patch), ``Warn`` (a Warning header, the default) or
``Ignore``. A server before 1.25 ignores it, and drops such fields silently. Of Pods, all fields are checked;
of other kinds, only those of their metadata.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from ottoscaler.local.apiserver.kinds import PODS, Kind
from ottoscaler.local.apiserver.messages import Request
from ottoscaler.local.apiserver.statuses import bad_request, invalid, invalid_value, unsupported
from ottoscaler.model import JsonObject

FIRST_MINOR = 25  # beta and on by default
IGNORE, WARN, STRICT = "Ignore", "Warn", "Strict"
_WORDS = ("", IGNORE, STRICT, WARN)  # in the order in which the API server lists them
_METADATA = "V1ObjectMeta"

_Types = dict[str, dict[str, str]]


@functools.cache
def _types() -> _Types:
    text = resources.files(__package__).joinpath("pod_fields.json").read_text(encoding="utf-8")
    known: _Types = json.loads(text)
    return known


def directive(request: Request, options: str, minor: int) -> str:
    """What the request asks for. For another word, raises ApiError 422 that names the verb's ``options``."""
    word = request.query.get("fieldValidation", "")
    if word not in _WORDS:
        raise invalid(options, "", [unsupported("fieldValidation", word, _WORDS)], group="meta.k8s.io")
    return IGNORE if minor < FIRST_MINOR else word or WARN


def known(kind: Kind, obj: JsonObject, request: Request, minor: int) -> JsonObject:
    """The object without its unknown fields. With ``Strict``, raises ApiError 400 if it has some."""
    asked = directive(request, "CreateOptions" if request.method == "POST" else "UpdateOptions", minor)
    kept, found = _known(kind, obj)
    found += _duplicates(request.body) if asked != IGNORE else []
    if found and asked == STRICT:
        words = f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: strict decoding error: '
        raise bad_request(words + ", ".join(found))
    if asked == WARN:
        request.warnings += found
    return kept


def known_after_patch(kind: Kind, obj: JsonObject, request: Request, minor: int) -> JsonObject:
    """The patched object without its unknown fields. With ``Strict``, raises ApiError 422 about the patch."""
    asked = directive(request, "PatchOptions", minor)
    kept, found = _known(kind, obj)
    if found and asked == STRICT:
        shown = request.body.decode(errors="replace").replace('"', '\\"')
        cause = invalid_value("patch", shown, f"strict decoding error: {', '.join(found)}")
        raise invalid("", "", [cause])
    if asked == WARN:
        request.warnings += found
    return kept


def _known(kind: Kind, obj: JsonObject) -> tuple[JsonObject, list[str]]:
    found: list[str] = []
    if kind is PODS:
        kept = _prune(obj, "V1Pod", "", found)
    else:
        metadata = _prune(obj.get("metadata"), _METADATA, "metadata", found)
        kept = {**obj, "metadata": metadata} if "metadata" in obj else obj
    return kept, found


def _prune(value: Any, kind: str, path: str, found: list[str]) -> Any:
    """The value without unknown fields. Their paths are added to ``found``."""
    if isinstance(value, list):
        return [_prune(each, kind, f"{path}[{number}]", found) for number, each in enumerate(value)]
    if not kind or not isinstance(value, dict):
        return value
    fields = _types()[kind]
    kept = {}
    for name, inner in value.items():
        where = f"{path}.{name}" if path else name
        if name in fields:
            kept[name] = _prune(inner, fields[name], where, found) if fields[name] else inner
        else:
            found.append(f'unknown field "{where}"')
    return kept


def _duplicates(body: bytes) -> list[str]:
    """The paths of fields that are twice in one object. The last one counts."""
    found: list[str] = []
    _walk(json.loads(body, object_pairs_hook=_Pairs), "", found)
    return found


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written. It may have a name twice."""


def _walk(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            where = f"{path}.{name}" if path else name
            if name in seen:
                found.append(f'duplicate field "{where}"')
            seen.add(name)
            _walk(inner, where, found)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _walk(inner, f"{path}[{number}]", found)
