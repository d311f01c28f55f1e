"""Turns a method and a path into what is asked for, in the words of a Kubernetes audit log."""

from __future__ import annotations

from dataclasses import dataclass

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. ``verb`` is Kubernetes' word. For a path that names no resource, ``resource``
    is empty and ``verb`` is the HTTP method in lower case."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str | None = None
    name: str = ""
    subresource: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def route(method: str, path: str, watching: bool) -> Route:
    """Read a path such as ``/api/v1/namespaces/default/pods/x/log``."""
    words = path.strip("/").split("/")
    if words[0] == "api" and len(words) >= 3:
        group, version, rest = "", words[1], words[2:]
    elif words[0] == "apis" and len(words) >= 4:
        group, version, rest = words[1], words[2], words[3:]
    else:
        return Route(method.lower())
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    return Route(_verb(method, name, watching), group, version, rest[0], namespace, name, subresource)


def _verb(method: str, name: str, watching: bool) -> str:
    if method in ("GET", "HEAD"):
        if watching:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())
