"""What a connection passes to the API, and what it gets back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from ottoscaler.local.apiserver import protobuf
from ottoscaler.local.apiserver.routes import Route, route
from ottoscaler.local.apiserver.statuses import ApiError, bad_request
from ottoscaler.local.apiserver.store import encode
from ottoscaler.model import JsonObject

_TRUE = ("1", "t", "true")


@dataclass(slots=True)
class Request:
    """One request, read whole. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    path: str = field(init=False)
    query: dict[str, str] = field(init=False)
    route: Route = field(init=False)
    warnings: list[str] = field(default_factory=list)  # for the answer's Warning headers

    def __post_init__(self) -> None:
        path, question, query = self.target.partition("?")
        if not path.startswith("/"):
            path = urlsplit(path).path
        self.path = unquote(path) if "%" in path else path
        self.query = dict(parse_qsl(query, keep_blank_values=True)) if question else {}
        self.route = route(self.method, self.path, self.method == "GET" and self.flag("watch"))
        if self.content_type == protobuf.MEDIA_TYPE and (body := protobuf.as_json(self.body)) is not None:
            self.headers = {**self.headers, "content-type": "application/json"}
            self.body = body

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in _TRUE

    def number(self, name: str) -> int | None:
        """The value of a numeric query parameter. Raises ApiError 400 for text that is not a number."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def body_name(self) -> str:
        """The name of the object in the body, or '' if none is found."""
        try:
            name = json.loads(self.body)["metadata"]["name"]
        except (ValueError, KeyError, TypeError):
            return ""
        return name if isinstance(name, str) else ""

    @property
    def wants_table(self) -> bool:
        """Whether the first acceptable form is a Table, which ``kubectl get`` asks for."""
        first = self.headers.get("accept", "").partition(",")[0].replace(" ", "")
        return "as=Table" in first and "g=meta.k8s.io" in first


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    uid: str = ""  # of the object that it is about, for the audit
    name: str = ""  # the object's name, if the server chose it


class Sink(Protocol):
    """Where a stream's bytes go: one HTTP response body of unknown length."""

    def write(self, data: bytes) -> None:
        """Send a part of the body now."""

    def finish(self) -> None:
        """End the body properly; the connection may serve another request."""

    def abort(self) -> None:
        """Cut the connection."""

    @property
    def backlog(self) -> int:
        """How many written bytes the client has not received yet."""


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """A response with a body of unknown length. ``start`` is called once with the sink, and returns a
    function that stops the stream."""

    start: Callable[[Sink], Callable[[], None]]
    content_type: str = "application/json"


Answer = Response | StreamedResponse


def json_response(status: int, document: JsonObject, uid: str = "") -> Response:
    return Response(status, encode(document).encode(), uid=uid)


def error_response(error: ApiError) -> Response:
    headers = (("Retry-After", str(error.retry_after)),) if error.retry_after else ()
    if error.plain:
        return replace(text_response(f"{error.message}\n", error.code), headers=headers)
    name = str((error.details or {}).get("name", ""))
    return Response(error.code, encode(error.status).encode(), headers=headers, name=name)


def text_response(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), content_type="text/plain; charset=utf-8")
