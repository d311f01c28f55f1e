"""Label and field selectors: turns the query's text into a predicate over objects."""

from __future__ import annotations

import re
from collections.abc import Callable

from ottoscaler.local.apiserver.statuses import bad_request
from ottoscaler.model import JsonObject

Predicate = Callable[[JsonObject], bool]
_Test = Callable[[dict[str, str]], bool]

_SET = re.compile(r"\s*([^\s,!=()]+)\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUALITY = re.compile(r"\s*([^\s,!=()<>]+)\s*(==|=|!=)\s*([^\s,!=()]*)\s*")
_EXISTS = re.compile(r"\s*(!?)\s*([^\s,!=()<>]+)\s*")
_NUMBER = re.compile(r"\s*([^\s,!=()<>]+)\s*([<>])\s*(-?[0-9]+)\s*")

# The fields that kube-apiserver supports; it refuses any other. First those of Pods, then of every kind.
POD_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
PLAIN_FIELDS = ("metadata.name", "metadata.namespace")
# ``kubectl describe`` selects a Pod's events by these.
EVENT_FIELDS = (
    *PLAIN_FIELDS,
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.fieldPath",
    "reason",
    "type",
)


def everything(_: JsonObject) -> bool:
    return True


def label_selector(text: str) -> Predicate:
    """The predicate of a ``labelSelector``.

    It knows ``a=b``, ``a!=b``, ``a in (b,c)``, ``a notin (b)``, ``a``, ``!a`` and ``a>1``. Raises ApiError
    400 for any other text.
    """
    if not text.strip():
        return everything
    tests: list[_Test] = []
    position = 0
    while True:
        test, position = _requirement(text, position)
        tests.append(test)
        if position >= len(text):
            break
        if text[position] != ",":
            raise _unparsable(text, position)
        position += 1

    def matches(obj: JsonObject) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(test(labels) for test in tests)

    return matches


def _requirement(text: str, start: int) -> tuple[_Test, int]:
    if match := _SET.match(text, start):
        key, operator, words = match.group(1), match.group(2), match.group(3)
        values = frozenset(word.strip() for word in words.split(","))
        if operator == "in":
            return (lambda labels: key in labels and labels[key] in values), match.end()
        return (lambda labels: key not in labels or labels[key] not in values), match.end()
    if match := _EQUALITY.match(text, start):
        key, operator, value = match.groups()
        if operator == "!=":
            return (lambda labels: labels.get(key) != value), match.end()
        return (lambda labels: labels.get(key) == value), match.end()
    if match := _NUMBER.match(text, start):
        key, operator, value = match.groups()
        return _comparison(key, operator, int(value)), match.end()
    if match := _EXISTS.match(text, start):
        absent, key = bool(match.group(1)), match.group(2)
        return (lambda labels: (key in labels) is not absent), match.end()
    raise _unparsable(text, start)


def _comparison(key: str, operator: str, bound: int) -> _Test:
    def test(labels: dict[str, str]) -> bool:
        try:
            value = int(labels[key])
        except (KeyError, ValueError):
            return False
        return value > bound if operator == ">" else value < bound

    return test


def _unparsable(text: str, position: int) -> Exception:
    rest = text[position:].split()
    found = rest[0] if rest else ""
    return bad_request(
        f"unable to parse requirement: found '{found}', expected: '=', '!=', '==', 'in', notin'"
    )


def field_selector(text: str, allowed: tuple[str, ...]) -> Predicate:
    """The predicate of a ``fieldSelector`` over the ``allowed`` paths, with ``=``, ``==`` and ``!=``.

    Raises ApiError 400 for another path or for text without an operator.
    """
    if not text.strip():
        return everything
    terms: list[tuple[tuple[str, ...], str, bool]] = []
    for term in text.split(","):
        path, operator, value = _split_term(term)
        if not operator:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        if path not in allowed:
            raise bad_request(f"field label not supported: {path}")
        terms.append((tuple(path.split(".")), value, operator != "!="))

    def matches(obj: JsonObject) -> bool:
        return all((_field(obj, path) == value) is equal for path, value, equal in terms)

    return matches


def _split_term(term: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        if operator in term:
            path, _, value = term.partition(operator)
            return path.strip(), operator, value.strip()
    return term, "", ""


def _field(obj: JsonObject, path: tuple[str, ...]) -> str:
    value: object = obj
    for word in path:
        if not isinstance(value, dict):
            return ""
        value = value.get(word)
    return "" if value is None else str(value)
