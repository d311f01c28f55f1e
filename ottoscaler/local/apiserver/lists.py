"""List and watch: selectors, versions, pages. Event loop thread only."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from ottoscaler.local.apiserver import tables
from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.apiserver.kinds import Kind
from ottoscaler.local.apiserver.messages import Request, Response, StreamedResponse, json_response
from ottoscaler.local.apiserver.selectors import Predicate, everything, field_selector, label_selector
from ottoscaler.local.apiserver.statuses import ApiError, bad_request, expired
from ottoscaler.local.apiserver.store import Key, Store, Stored, encode
from ottoscaler.local.apiserver.watch import DEFAULT_TIMEOUT_SECONDS, Watch, WatchOptions
from ottoscaler.model import JsonObject


def selection(kind: Kind, query: dict[str, str]) -> Predicate:
    """The predicate of a request's two selectors. Raises ApiError 400."""
    labels = label_selector(query.get("labelSelector", ""))
    fields = field_selector(query.get("fieldSelector", ""), kind.fields)
    if labels is everything:
        return fields
    if fields is everything:
        return labels
    return lambda obj: fields(obj) and labels(obj)


def asked_version(query: dict[str, str]) -> int | None:
    """The resource version asked for, or None. Raises ApiError 500 if it is not a number, as 1.20 does."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiError(500, "", why)
    return int(text)


class Lists:
    """Answers list and watch requests for every kind."""

    def __init__(self, store: Store, plan: FaultPlan, bookmark_seconds: float) -> None:
        self._store, self._plan, self._bookmark_seconds = store, plan, bookmark_seconds

    def list(self, kind: Kind, namespace: str | None, request: Request) -> Response:
        """All objects or a page of them, at one version."""
        query = request.query
        selects = selection(kind, query)
        limit = request.number("limit") or 0
        version, after = self._snapshot(query)
        if version == self._store.version:
            items = self._store.items(kind.resource, namespace)
        else:
            at = self._store.items_at(kind.resource, namespace, version)
            if at is None:
                word = "continue parameter" if query.get("continue") else "resource version"
                raise expired(f"The provided {word} is too old: {version} ({self._store.oldest})")
            items = at
        if after is not None:
            items = [item for item in items if item[0] > after]
        chosen = [item for item in items if selects(item[1].obj)]
        metadata: JsonObject = {"resourceVersion": str(version)}
        if 0 < limit < len(chosen):
            metadata["continue"] = _token(version, chosen[limit - 1][0])
            if selects is everything:
                metadata["remainingItemCount"] = len(chosen) - limit
            chosen = chosen[:limit]
        return self._response(kind, [entry for _, entry in chosen], metadata, version, request.wants_table)

    @staticmethod
    def _response(
        kind: Kind, entries: Sequence[Stored], metadata: JsonObject, version: int, as_table: bool
    ) -> Response:
        if as_table:
            document = tables.table(kind, [entry.obj for entry in entries], version)
            return json_response(200, {**document, "metadata": metadata})
        about = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
        head = encode(about).encode()[:-1] + b',"items":['
        return Response(200, head + b",".join(entry.body for entry in entries) + b"]}")

    def _snapshot(self, query: dict[str, str]) -> tuple[int, Key | None]:
        """The version to list at, and the key after which the page begins."""
        if query.get("continue"):
            return _read_token(query["continue"])
        asked = asked_version(query)
        match = query.get("resourceVersionMatch")
        if match == "Exact" and asked:
            return asked, None
        if asked is not None and asked > self._store.version:
            raise _too_large(asked, self._store.version)
        return self._store.version, None

    def watch(self, kind: Kind, namespace: str | None, name: str, request: Request) -> StreamedResponse:
        """Follow the objects from the version asked for."""
        query = dict(request.query)
        if name:
            terms = [query["fieldSelector"]] if query.get("fieldSelector") else []
            query["fieldSelector"] = ",".join([*terms, f"metadata.name={name}"])
        version = asked_version(query)
        initial = request.flag("sendInitialEvents")
        options = WatchOptions(
            version=version if version and not initial else None,
            bookmarks=request.flag("allowWatchBookmarks"),
            initial_end=initial,
            timeout=request.number("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS,
            table=request.wants_table,
        )
        watch = Watch(self._store, kind, namespace, selection(kind, query), options, self._bookmark_seconds)
        self._plan.watch_began(watch)
        return StreamedResponse(watch.start)


def _too_large(asked: int, current: int) -> ApiError:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", message, {"causes": [cause]}, retry_after=1)


def _token(version: int, last: Key) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": list(last)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, Key]:
    try:
        document = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = document["start"]
        return int(document["rv"]), (str(namespace), str(name))
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
