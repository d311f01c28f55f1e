"""Reads the events of a watch: the views of changed Pods, and bookmarks.

A worker's Pod has some six events of 5 kB each, and most of a text repeats what earlier ones had. So a text
with the API server's usual layout is cut into its parts, and what a part tells is kept by its bytes. A text
with another layout is parsed whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import urllib3

from ottoscaler.errors import KubernetesUnavailable, UnusableAnswer
from ottoscaler.kube.decoding import NODE, STATUS, cut, is_pod, parsed, slim
from ottoscaler.kube.http1 import MOST_ANSWER
from ottoscaler.kube.pod_api import WatchEvent
from ottoscaler.kube.status import BROKEN_ANSWER, plain, watch_error
from ottoscaler.pods.view import Labelled, Told, labelled, parse_pod, told, view_of

MOST_LABELS = 2048  # Pods whose labels and annotations are kept; their text has some 600 bytes
MOST_STATUSES = 512  # statuses that are kept: a Pod's last events come within a second or so
MOST_KEPT = 4096  # bytes of a part that is kept: an annotation may have a hundred thousand

_CHANGES = ("ADDED", "MODIFIED", "DELETED")
_PLAIN = rb'"([ !#-\[\]-~]*)"'  # a JSON string that stands for itself
_SKIPPED = rb'"[ !#-\[\]-~]*",'
# How the API server begins the event of a change, up to the labels: its fields have a fixed order.
_HEAD = re.compile(
    rb'\{"type":"(ADDED|MODIFIED|DELETED)","object":\{"kind":"Pod","apiVersion":"v1","metadata":\{"name":'
    + _PLAIN
    + rb',(?:"generateName":' + _SKIPPED + rb')?"namespace":' + _SKIPPED + rb'(?:"selfLink":' + _SKIPPED
    + rb')?"uid":' + _PLAIN + rb',"resourceVersion":' + _PLAIN + rb',(?:"generation":[0-9]+,)?'
    + rb'"creationTimestamp":' + _PLAIN + rb',(?:"deletionTimestamp":' + _PLAIN
    + rb',)?(?:"deletionGracePeriodSeconds":([1-9][0-9]{0,9}|0),)?(?="labels":\{)'
)  # fmt: skip


def events(response: Any, received: Callable[[int], None]) -> Iterator[WatchEvent]:
    """Yield a watch's events as they come: changes of Pods, and bookmarks.

    ``received`` is told the bytes of each piece. Raises what PodClient.watch raises."""
    rest = b""
    try:
        for piece in response.stream():
            received(len(piece))
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield quick(line) or whole(line)
            if len(rest) > MOST_ANSWER:
                raise UnusableAnswer("watch: an event is too large")
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
        raise TimeoutError("nothing came on the watch") from error
    except (*BROKEN_ANSWER, AttributeError) as error:
        raise KubernetesUnavailable(f"watch: {plain(error)}") from error


def whole(line: bytes) -> WatchEvent:
    """The event, whatever its text's layout is. Raises what PodClient.watch raises."""
    event = parsed("watch", slim(line))
    kind, obj = event.get("type"), event.get("object")
    if kind == "ERROR":
        raise watch_error(obj if isinstance(obj, dict) else {})
    if kind == "BOOKMARK":
        meta = obj.get("metadata") if isinstance(obj, dict) else None
        if isinstance(meta, dict):
            version = meta.get("resourceVersion")
            return WatchEvent(kind, version if isinstance(version, str) else "", None)
    elif kind in _CHANGES and isinstance(obj, dict) and is_pod(obj):
        view = parse_pod(obj)
        return WatchEvent(kind, view.resource_version, view)
    raise UnusableAnswer("watch: an event is neither a change of a Pod nor a bookmark")


def quick(line: bytes) -> WatchEvent | None:
    """The same event, from the parts of its text; ``None`` if that has another layout.

    Labels and status are parsed by themselves, so each begins and ends where its field does: a text that
    looks like a field cannot come from inside a string, where quotes are escaped. The spec is searched for
    the node's name and is not parsed, as in ``slim``.
    """
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"}}"):
        return None
    begin = head.end()
    parts = cut(line, begin)
    if parts is None:
        return None
    end, node, status = parts
    kind, name, uid, version, created_at, deleted_at, grace = head.groups(b"")
    place = node[len(NODE) : -1]
    if not (name and uid):
        return None
    try:
        labels = _once(_labels, line[begin:end])
        shown = _once(_status, line[status + len(STATUS) - 1 : -2])
        named = name.decode(), uid.decode(), version.decode()
        seconds = int(grace) if deleted_at and grace else 0
        view = view_of(named, created_at.decode(), bool(deleted_at), seconds, place.decode(), labels, shown)
    except (ValueError, RecursionError):
        return None
    return WatchEvent(kind.decode(), view.resource_version, view)


def _once(read: Any, text: bytes) -> Any:
    """What ``read`` makes of the text, which is kept unless it is long."""
    return read(text) if len(text) <= MOST_KEPT else read.__wrapped__(text)


@lru_cache(MOST_LABELS)
def _labels(fields: bytes) -> Labelled:
    meta = json.loads(f"{{{fields.decode()}}}")
    if "deletionTimestamp" in meta or "deletionGracePeriodSeconds" in meta:
        raise ValueError("another layout: these come before the labels")
    return labelled(meta)


@lru_cache(MOST_STATUSES)
def _status(text: bytes) -> Told:
    return told(json.loads(text.decode()))
