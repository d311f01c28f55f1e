"""Unambiguous YAML: one document, no duplicate keys, only what JSON can express, and of limited size."""

from __future__ import annotations

import json
import math
from typing import Any

import yaml

from ottoscaler.model import JsonObject

MAX_NODES = 20_000  # values after expanding aliases; stops a "billion laughs" file within milliseconds
MAX_DEPTH = 50  # a Pod is some 12 deep


def load(text: str, wrong: list[str]) -> JsonObject | None:
    """The object in ``text``, or ``None`` with sentences added to ``wrong``. Any thread."""
    try:
        loaded = yaml.load(text, Loader=_OnceEach)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        wrong.append(f"invalid YAML{where}: {getattr(error, 'problem', None) or 'see a YAML checker'}")
        return None
    except (RecursionError, ValueError):
        wrong.append("invalid YAML: nested too deeply, or a value that cannot be read")
        return None
    if not isinstance(loaded, dict):
        wrong.append("expected one Pod, a map of fields")
        return None
    before = len(wrong)
    _walk(loaded, "", [0], 0, wrong)
    # Going through JSON makes copies, so that no two places share one object through an alias.
    return json.loads(json.dumps(loaded)) if len(wrong) == before else None


class _OnceEach(yaml.SafeLoader):
    """PyYAML silently uses the last of two equal keys; this loader refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in keys:
                    text = f"duplicate key {key.value}"
                    raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _walk(value: object, path: str, seen: list[int], depth: int, wrong: list[str]) -> None:
    """Add to ``wrong`` what JSON cannot express. ``seen`` counts values, to end cycles and alias bombs."""
    seen[0] += 1
    if seen[0] > MAX_NODES or depth > MAX_DEPTH:
        if seen[0] < MAX_NODES + 2:
            wrong.append(f"too large; expected at most {MAX_NODES} values and {MAX_DEPTH} levels")
        seen[0] = MAX_NODES + 2
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not _is_text(key):
                wrong.append(f"{path or 'the file'} has the key {key!r}, which is not a string; quote it")
                continue
            _walk(item, f"{path}.{key}" if path else key, seen, depth + 1, wrong)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            _walk(item, f"{path}[{at}]", seen, depth + 1, wrong)
    elif isinstance(value, str) and not _is_text(value):
        wrong.append(f"{path} contains an unpaired surrogate, which is not a character")
    elif isinstance(value, float) and not math.isfinite(value):
        wrong.append(f"{path} is not a finite number")
    elif not (value is None or isinstance(value, (str, int, float))):
        wrong.append(f"{path} is a {type(value).__name__}, which JSON does not support; quote it")


def _is_text(value: str) -> bool:
    """Whether ``value`` can be sent: YAML's escapes can write halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
