"""Answers about other things than objects: version, health, discovery, and the OpenAPI that kubectl needs."""

from __future__ import annotations

from ottoscaler.local.apiserver import kinds
from ottoscaler.local.apiserver.messages import Request, Response, json_response, text_response
from ottoscaler.local.apiserver.statuses import method_not_allowed
from ottoscaler.model import JsonObject

# The version that the server reports. tests/conformance compares it with 1.20.2, and its gates with 1.30.
MINOR = 30


def version(minor: int) -> JsonObject:
    """The answer to /version of a server of this minor version."""
    return {**_VERSION, "minor": str(minor), "gitVersion": f"v1.{minor}.2+ottoscaler-local"}


_VERSION: JsonObject = {
    "major": "1",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_HEALTH = ("/healthz", "/livez", "/readyz")


def answer(request: Request, minor: int) -> Response:
    """The answer to a path that names no resource. Raises ApiError 405."""
    path = request.path.rstrip("/") or "/"
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed()
    if path == "/version":
        return json_response(200, version(minor))
    if path in _HEALTH or path.startswith(tuple(f"{one}/" for one in _HEALTH)):
        return Response(200, b"ok", content_type="text/plain; charset=utf-8")
    if path == "/api":
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": request.headers.get("host", "")}]
        versions = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
        return json_response(200, versions)
    if path == "/apis":
        return json_response(200, kinds.group_list())
    words = path.strip("/").split("/")
    document = _group_version(words)
    if document is not None:
        return json_response(200, document)
    if words[0] == "openapi":
        return _openapi(words)
    if words[0] == "apis":
        return text_response("404 page not found\n", 404)
    if path == "/":
        return json_response(200, {"paths": ["/api", "/apis", "/healthz", "/livez", "/readyz", "/version"]})
    return json_response(404, {"paths": ["/api", "/apis", "/healthz", "/livez", "/readyz", "/version"]})


def _group_version(words: list[str]) -> JsonObject | None:
    if words[0] == "api" and len(words) == 2:
        return kinds.resource_list("", words[1])
    if words[0] == "apis" and len(words) == 2 and words[1] in kinds.GROUPS:
        return {"kind": "APIGroup", "apiVersion": "v1", **kinds.group_document(words[1])}
    if words[0] == "apis" and len(words) == 3:
        return kinds.resource_list(words[1], words[2])
    return None


def _openapi(words: list[str]) -> Response:
    if words == ["openapi", "v3"]:
        paths = ["api/v1", *(f"apis/{group}/v1" for group in kinds.GROUPS)]
        return json_response(
            200, {"paths": {one: {"serverRelativeURL": f"/openapi/v3/{one}"} for one in paths}}
        )
    if words[:2] == ["openapi", "v3"]:
        prefix = "/" + "/".join(words[2:])
        return json_response(200, _openapi_v3(prefix))
    # kubectl asks for v2 if v3 does not name a kind. It gets a document without any schema, which is empty.
    return Response(200, b"", content_type="application/com.github.proto-openapi.spec.v2.v1.0+protobuf")


def _openapi_v3(prefix: str) -> JsonObject:
    """The operations of one group version. They tell kubectl that the server validates fields."""
    validation = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    paths: JsonObject = {}
    for kind in kinds.ALL:
        base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        if base != prefix:
            continue
        middle = "/namespaces/{namespace}" if kind.namespaced else ""
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        operation = {"x-kubernetes-group-version-kind": gvk, "parameters": [validation], "responses": {}}
        operation = {**operation, "responses": {"200": {"description": "OK"}}}
        paths[f"{base}{middle}/{kind.resource}"] = {"post": {**operation, "x-kubernetes-action": "post"}}
        paths[f"{base}{middle}/{kind.resource}/{{name}}"] = {
            "patch": {**operation, "x-kubernetes-action": "patch"}
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": f"v1.{MINOR}.2"},
        "paths": paths,
        "components": {"schemas": {}},
    }
