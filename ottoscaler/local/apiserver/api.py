"""The Kubernetes API of the local cluster: turns a request into its answer. Event loop thread only."""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Callable
from typing import Any

from ottoscaler.local.apiserver import discovery, kinds, pods, reviews, scheduling_gates, tables
from ottoscaler.local.apiserver.fault_plan import FaultPlan, control
from ottoscaler.local.apiserver.kinds import PODS, Kind
from ottoscaler.local.apiserver.lists import Lists, selection
from ottoscaler.local.apiserver.logs import LogSource, log_answer
from ottoscaler.local.apiserver.messages import Answer, Request, Response, error_response, json_response
from ottoscaler.local.apiserver.objects import Objects
from ottoscaler.local.apiserver.statuses import (
    ApiError,
    bad_request,
    conflict,
    internal_error,
    method_not_allowed,
    no_such_resource,
    not_here,
    unauthorized,
)
from ottoscaler.local.apiserver.store import Store, Stored, encode
from ottoscaler.model import JsonObject

_ABSENT = "the local cluster runs Pods only: nothing in it would carry out a {}, so it refuses to keep one"
_INSIDE = ("exec", "attach", "portforward", "ephemeralcontainers")
_NO_INSIDE = (
    "the local cluster does not serve pods/{}: its containers are processes of this machine, so look at them "
    "with ps, reach their ports on localhost, and read what they print with kubectl logs"
)
_GATED = "pod {} has non-empty .spec.schedulingGates"

Control = Callable[[Request], Answer]


class Api:
    """Answers every request; raises nothing."""

    def __init__(
        self,
        store: Store,
        objects: Objects,
        lists: Lists,
        plan: FaultPlan,
        logs: LogSource | None,
        controls: Control,
        token: str | None,
        minor: int,
    ) -> None:
        self._store, self._objects, self._lists, self._plan = store, objects, lists, plan
        self._logs, self._controls, self._token = logs, controls, token
        self._minor = minor

    def answer(self, request: Request) -> Answer:
        """The answer to one request. An error in this server is printed and answered with 500."""
        try:
            return _with_warnings(self._answer(request), request.warnings)
        except ApiError as error:
            return error_response(error)
        except Exception as error:  # noqa: BLE001  one bad request must not end the server
            traceback.print_exc()
            return error_response(internal_error(repr(error)))

    def _answer(self, request: Request) -> Answer:
        if control(request):
            return self._controls(request)
        if self._token is not None and request.headers.get("authorization") != f"Bearer {self._token}":
            raise unauthorized()
        route = request.route
        if not route.resource:
            return discovery.answer(request, self._minor)
        if route.resource in reviews.KINDS and route.group == reviews.GROUP:
            if route.verb != "create":
                raise method_not_allowed()
            spec = self._body(request).get("spec") or {}
            return json_response(201, reviews.review(route.resource, spec, self._plan.denied))
        kind = kinds.BY_PATH.get((route.group, route.version, route.resource))
        if kind is None or (route.namespace is not None and not kind.namespaced):
            raise no_such_resource()
        if kind.namespaced and route.namespace is None and (route.name or route.verb == "create"):
            raise no_such_resource()
        if route.subresource:
            return self._subresource(kind, request)
        return self._resource(kind, request)

    def _resource(self, kind: Kind, request: Request) -> Answer:
        route = request.route
        if kind.absent and route.verb in ("create", "update", "patch"):
            raise not_here(_ABSENT.format(kind.kind))
        if route.verb == "watch":
            return self._lists.watch(kind, route.namespace, route.name, request)
        if route.verb == "list":
            return self._lists.list(kind, route.namespace, request)
        if route.verb == "get":
            entry = self._objects.get(kind, route.namespace, route.name)
            return self._object(kind, entry, 200, request)
        if route.verb == "create" and not route.name:
            entry = self._objects.create(kind, route.namespace, request)
            return self._object(kind, entry, 201, request)
        if route.verb == "update" and route.name:
            entry = self._objects.update(kind, route.name, route.namespace, request, status=False)
            return self._object(kind, entry, 200, request)
        if route.verb == "patch" and route.name:
            entry = self._objects.patch(kind, route.name, route.namespace, request, status=False)
            return self._object(kind, entry, 200, request)
        if route.verb == "delete":
            options = pods.delete_options(request.body, request.query)
            obj = self._objects.delete(kind, route.namespace, route.name, options)
            return self._object(kind, Stored(obj, self._store.version), 200, request)
        if route.verb == "deletecollection" and kind.namespaced:
            return self._delete_collection(kind, request)
        raise method_not_allowed()

    @staticmethod
    def _object(kind: Kind, entry: Stored, status: int, request: Request) -> Response:
        metadata = entry.obj["metadata"]
        if request.wants_table:
            body = encode(tables.table(kind, [entry.obj], entry.version)).encode()
        else:
            body = kind.prefix + entry.body[1:]
        return Response(status, body, uid=entry.uid, name=metadata["name"])

    def _delete_collection(self, kind: Kind, request: Request) -> Response:
        options = pods.delete_options(request.body, request.query)
        selects = selection(kind, request.query)
        ended = []
        for (namespace, name), entry in self._store.items(kind.resource, request.route.namespace):
            if selects(entry.obj):
                ended.append(self._objects.delete(kind, namespace, name, options))
        document = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
        metadata = {"resourceVersion": str(self._store.version)}
        return json_response(200, {**document, "metadata": metadata, "items": ended})

    # --- subresources

    def _subresource(self, kind: Kind, request: Request) -> Answer:
        route = request.route
        if route.subresource == "status" and kind.has_status:
            if route.verb == "get":
                entry = self._objects.get(kind, route.namespace, route.name)
            elif route.verb == "update":
                entry = self._objects.update(kind, route.name, route.namespace, request, status=True)
            elif route.verb == "patch":
                entry = self._objects.patch(kind, route.name, route.namespace, request, status=True)
            else:
                raise method_not_allowed()
            return self._object(kind, entry, 200, request)
        if kind is not PODS or route.subresource not in (*_INSIDE, "log", "eviction", "binding"):
            raise no_such_resource()
        entry = self._objects.get(kind, route.namespace, route.name)
        if route.subresource in _INSIDE:
            raise not_here(_NO_INSIDE.format(route.subresource))
        if route.subresource == "log":
            if route.verb != "get":
                raise method_not_allowed()
            return log_answer(entry.obj, self._logs, request)
        if route.verb != "create":
            raise method_not_allowed()
        return self._evict(entry, request) if route.subresource == "eviction" else self._bind(entry, request)

    def _evict(self, entry: Stored, request: Request) -> Response:
        body = self._body(request)
        options = dict(body.get("deleteOptions") or {})
        if request.query.get("dryRun"):
            options["dryRun"] = [request.query["dryRun"]]
        route = request.route
        self._objects.delete(PODS, route.namespace, route.name, options)
        document = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return json_response(201, document, uid=entry.uid)

    def _bind(self, entry: Stored, request: Request) -> Response:
        node = (self._body(request).get("target") or {}).get("name")
        if not node:
            raise bad_request("target.name is required")
        if entry.obj["spec"].get("nodeName"):
            message = (
                f'pod {request.route.name} is already assigned to node "{entry.obj["spec"]["nodeName"]}"'
            )
            raise ApiError(409, "Conflict", message, {"name": request.route.name, "kind": "pods/binding"})
        if scheduling_gates.gates(entry.obj):
            raise conflict("pods/binding", request.route.name, _GATED.format(request.route.name))
        metadata = dict(entry.obj["metadata"])
        bound = {**entry.obj, "metadata": metadata, "spec": {**entry.obj["spec"], "nodeName": node}}
        self._store.update("pods", (metadata["namespace"], metadata["name"]), bound)
        document = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return json_response(201, document, uid=entry.uid)

    @staticmethod
    def _body(request: Request) -> JsonObject:
        try:
            body: Any = json.loads(request.body or b"{}")
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
        if not isinstance(body, dict):
            raise bad_request("a JSON object is expected")
        return body


def _with_warnings(answer: Answer, warnings: list[str]) -> Answer:
    if not warnings or not isinstance(answer, Response):
        return answer
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings)
    headers = tuple(("Warning", f'299 - "{text}"') for text in quoted)
    return dataclasses.replace(answer, headers=answer.headers + headers)
