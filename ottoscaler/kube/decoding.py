"""Decodes the API server's answers, and accepts only those that have the shape of Kubernetes objects.

Anything else (a proxy's page, an empty body, a null where an object belongs) raises UnusableAnswer, and the
call may be tried again. It is never taken for "no Pods" or for "gone".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import urllib3

from ottoscaler.errors import KubernetesUnavailable, UnusableAnswer
from ottoscaler.kube.http1 import MOST_ANSWER
from ottoscaler.kube.status import plain, watch_error
from ottoscaler.model import JsonObject

_CHANGES = ("ADDED", "MODIFIED", "DELETED")

# The API server sends 5 kB with each change of a Pod. Half of that is its own book-keeping, and a third
# repeats the create. slim() drops both before the JSON is parsed. The byte strings that it searches for
# cannot occur inside a JSON string, where quotes are escaped. A text with another layout is left whole.
_SPEC = b'},"spec":{'  # follows the metadata
_STATUS = b'},"status":{'  # follows the spec
_MANAGED = b',"managedFields":['  # the last field of the metadata
_NODE = b'"nodeName":"'


def parsed(verb: str, data: bytes) -> JsonObject:
    """The JSON object of an answer. Raises UnusableAnswer."""
    try:
        answer = json.loads(data.decode())  # given bytes, it would guess the encoding each time
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"{verb}: the answer is not JSON: a proxy's?") from error
    if not isinstance(answer, dict):
        raise UnusableAnswer(f"{verb}: the answer is not a JSON object")
    return answer


def pod(verb: str, answer: JsonObject) -> JsonObject:
    """The same answer, if it is a Pod with a name and a UID. Raises UnusableAnswer otherwise."""
    if not is_pod(answer):
        raise UnusableAnswer(f"{verb}: the answer is not a Pod with a name and a uid")
    return answer


def warnings(answer: JsonObject) -> list[str]:
    """The reason and message of each Event in a list, ordered by when they were last reported."""
    items = answer.get("items")
    told = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    told.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
    return [f"{item.get('reason') or 'Warning'}: {item.get('message') or ''}".strip(": ") for item in told]


def events(response: Any, received: Callable[[int], None]) -> Iterator[JsonObject]:
    """Yield a watch's events as they come: changes of Pods, and bookmarks.

    ``received`` is told the bytes of each piece. Raises what PodClient.watch raises."""
    rest = b""
    try:
        for piece in response.stream():
            received(len(piece))
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _event(line)
            if len(rest) > MOST_ANSWER:
                raise UnusableAnswer("watch: an event is too large")
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
        raise TimeoutError("nothing came on the watch") from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
        raise KubernetesUnavailable(f"watch: {plain(error)}") from error


def _event(line: bytes) -> JsonObject:
    event = parsed("watch", slim(line))
    kind, obj = event.get("type"), event.get("object")
    if kind == "ERROR":
        raise watch_error(obj if isinstance(obj, dict) else {})
    if kind == "BOOKMARK":
        meta = obj.get("metadata") if isinstance(obj, dict) else None
        if isinstance(meta, dict):
            return event
    elif kind in _CHANGES and is_pod(obj):
        return event
    raise UnusableAnswer("watch: an event is neither a change of a Pod nor a bookmark")


def is_pod(value: Any) -> bool:
    """Whether it is an object with a name and a UID."""
    meta = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(meta, dict):
        return False
    name, uid = meta.get("name"), meta.get("uid")
    return isinstance(name, str) and isinstance(uid, str) and bool(name and uid)


def slim(text: bytes) -> bytes:
    """A Pod's or a watch event's text without ``managedFields``, and with only ``nodeName`` of the spec."""
    spec = text.find(_SPEC)
    status = text.rfind(_STATUS)
    if spec < 0 or status < spec:
        return text
    managed = text.find(_MANAGED, 0, spec)
    head = text[:managed] if managed > 0 and text[spec - 1 : spec] == b"]" else text[:spec]
    node = text.find(_NODE, spec, status)
    kept = text[node : text.find(b'"', node + len(_NODE)) + 1] if node > 0 else b""
    return b"".join((head, _SPEC, kept, text[status:]))
