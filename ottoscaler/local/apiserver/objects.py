"""The verbs that read and write single objects, for every kind. Event loop thread only."""

from __future__ import annotations

import json
from typing import Any

from ottoscaler.local.apiserver import field_validation, pods, scheduling_gates
from ottoscaler.local.apiserver import patch as patches
from ottoscaler.local.apiserver.admission import Admission
from ottoscaler.local.apiserver.decoding import METADATA_SHAPE, POD_SHAPE, check_types, decode_object
from ottoscaler.local.apiserver.kinds import NAMESPACES, PODS, Kind
from ottoscaler.local.apiserver.messages import Request
from ottoscaler.local.apiserver.namespaces import Namespaces
from ottoscaler.local.apiserver.pod_defaults import with_defaults
from ottoscaler.local.apiserver.pod_validation import label_causes, metadata_causes
from ottoscaler.local.apiserver.quota import Quotas
from ottoscaler.local.apiserver.statuses import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    modified,
    not_found,
)
from ottoscaler.local.apiserver.store import Store, Stored

# Only the server sets these. An update's values for them are ignored.
_SERVER_FIELDS = (
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "selfLink",
)


class Objects:
    """Create, get, update, patch and delete on the store, with admission."""

    def __init__(
        self, store: Store, quotas: Quotas, namespaces: Namespaces, admission: Admission, minor: int
    ) -> None:
        self._store, self._quotas, self._namespaces = store, quotas, namespaces
        self._admission, self._minor = admission, minor

    def get(self, kind: Kind, namespace: str | None, name: str) -> Stored:
        """The object. Raises ApiError 404."""
        entry = self._store.get(kind.resource, namespace or "", name)
        if entry is None:
            raise not_found(kind.resource, name, kind.group)
        return entry

    # --- create

    def create(self, kind: Kind, namespace: str | None, request: Request) -> Stored:
        """A new object, with defaults, admitted and stored. A dry run stores nothing."""
        dry = pods.check_dry_run("CreateOptions", _dry_run(request))
        obj = decode_object(request.body, request.content_type, kind.kind, kind.api_version)
        obj = field_validation.known(kind, obj, request, self._minor)
        metadata = dict(obj.get("metadata") or {})
        if namespace is not None:
            if metadata.setdefault("namespace", namespace) != namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = pods.generated_name(metadata["generateName"])
        for field in (
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "deletionTimestamp",
            "managedFields",
            "selfLink",
        ):
            metadata.pop(field, None)
        name = metadata.get("name") or ""
        if namespace is not None:
            self._namespaces.admit(namespace, kind.resource, name)
        obj = self._admitted(kind, namespace or "", {**obj, "metadata": metadata}, request)
        name = obj["metadata"].get("name") or ""  # a webhook may have changed it
        key = (namespace or "", name)
        if self._store.get(kind.resource, *key) is not None:
            raise already_exists(kind.resource, name)
        if dry:
            return self._store.sketch(obj)
        return self._store.create(kind.resource, key, obj)

    def _admitted(self, kind: Kind, namespace: str, obj: dict[str, Any], request: Request) -> dict[str, Any]:
        if kind is PODS:
            if self._minor < scheduling_gates.FIRST_MINOR:
                obj = scheduling_gates.dropped(obj)
            pods.check_service_account(self._store, namespace, obj)
            pod = pods.validated(self._admission.mutated(obj, request))
            self._admission.validate(request)
            self._quotas.admit(namespace, pod["metadata"].get("name") or "", pod)
            return pod
        causes = list(metadata_causes(obj["metadata"], label_name=kind.label_names))
        if causes:
            raise invalid(kind.kind, obj["metadata"].get("name") or "", causes)
        stored = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
        if kind is NAMESPACES:
            stored |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        elif kind.has_status:
            stored["status"] = {}
        return stored

    # --- update and patch

    def update(
        self, kind: Kind, route_name: str, namespace: str | None, request: Request, *, status: bool
    ) -> Stored:
        """Replace the object, or only its status with ``status``. Raises ApiError 400, 404, 409 and 422."""
        obj = decode_object(request.body, request.content_type, kind.kind, kind.api_version)
        obj = field_validation.known(kind, obj, request, self._minor)
        current = self.get(kind, namespace, route_name)
        uid = (obj.get("metadata") or {}).get("uid")
        if uid and uid != current.uid:
            why = (
                f"StorageError: invalid object, Code: 4, "
                f"Key: /registry/{kind.resource}/{namespace}/{route_name}, "
                "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
                f"{uid}, UID in object meta: {current.uid}"
            )
            raise conflict(kind.resource, route_name, why)
        return self._replace(kind, current, obj, request, status=status)

    def patch(
        self, kind: Kind, route_name: str, namespace: str | None, request: Request, *, status: bool
    ) -> Stored:
        """Change a part of the object. Raises ApiError 400, 404, 409, 415 and 422."""
        if request.content_type not in (patches.MERGE, patches.STRATEGIC, patches.JSON):
            raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        current = self.get(kind, namespace, route_name)
        try:
            change = json.loads(request.body)
        except ValueError as error:
            raise ApiError(500, "", "Invalid JSON Patch") from error  # 1.20's answer; later ones say 400
        if request.content_type == patches.JSON:
            obj = patches.json_patch(current.obj, change)
        elif not isinstance(change, dict):
            raise bad_request("error decoding patch: a JSON object is expected")
        elif request.content_type == patches.MERGE:
            obj = patches.merge(current.obj, change)
        else:
            obj = patches.strategic_merge(current.obj, change)
        check_types(kind.kind, obj, POD_SHAPE if kind is PODS else {"metadata": METADATA_SHAPE})
        obj = field_validation.known_after_patch(kind, obj, request, self._minor)
        uid = obj["metadata"].get("uid")
        if uid != current.uid:
            cause = invalid_value("metadata.uid", uid or "", "field is immutable")
            raise invalid(kind.kind, route_name, [cause])
        return self._replace(kind, current, obj, request, status=status)

    def _replace(
        self, kind: Kind, current: Stored, obj: dict[str, Any], request: Request, *, status: bool
    ) -> Stored:
        old = current.obj
        metadata = dict(obj.get("metadata") or {})
        name: str = old["metadata"]["name"]
        if metadata.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        version = metadata.get("resourceVersion")
        if version and version != str(current.version):
            raise modified(kind.resource, name)
        for field in (*_SERVER_FIELDS, "uid", "name", "namespace"):
            metadata.pop(field, None)
            if field in old["metadata"]:
                metadata[field] = old["metadata"][field]
        metadata = {key: value for key, value in metadata.items() if value not in ({}, [], None)}
        new = self._changed(kind, old, {**obj, "metadata": metadata}, status=status)
        if pods.check_dry_run("UpdateOptions", _dry_run(request)):
            return Stored(new, current.version)
        return self.store_changed(kind, current, new)

    def _changed(
        self, kind: Kind, old: dict[str, Any], obj: dict[str, Any], *, status: bool
    ) -> dict[str, Any]:
        """The object after the update. Its status is kept, or with ``status`` everything else is kept."""
        stored = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
        if status:
            causes = list(label_causes(stored["metadata"]))
            if causes:
                raise invalid(kind.kind, old["metadata"]["name"], causes)
            new_status = dict(stored.get("status") or {})
            if kind is PODS:
                new_status.setdefault("phase", "Pending")
                new_status["qosClass"] = old["status"].get("qosClass")
            return {**old, "metadata": stored["metadata"], "status": new_status}
        if kind is PODS:
            new = {**with_defaults(stored), "status": old["status"]}
            pods.check_update(old["metadata"]["name"], old, new)
            return new
        causes = list(label_causes(stored["metadata"]))
        if causes:
            raise invalid(kind.kind, old["metadata"]["name"], causes)
        if "status" in old:
            stored["status"] = old["status"]
        return stored

    def store_changed(self, kind: Kind, current: Stored, new: dict[str, Any]) -> Stored:
        """Write an update. If it removes a deleted object's last finalizer, the object is removed."""
        key = (current.obj["metadata"].get("namespace", ""), current.obj["metadata"]["name"])
        if pods.released(new):
            return self._store.remove(kind.resource, key, new)
        return self._store.update(kind.resource, key, new)

    # --- delete

    def delete(self, kind: Kind, namespace: str | None, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Delete an object: a Pod with its grace period, a namespace with all that is in it. Returns the
        object's new state."""
        entry = self.get(kind, namespace, name)
        pods.check_preconditions(kind.kind, name, entry, options)
        dry = bool(options.get("dryRun"))
        if kind is PODS:
            return pods.delete(self._store, entry, options.get("gracePeriodSeconds"), dry_run=dry)
        if dry:
            return entry.obj
        if kind is NAMESPACES:
            return self._namespaces.delete(entry)
        self._store.remove(kind.resource, (namespace or "", name))
        return entry.obj


def _dry_run(request: Request) -> list[str]:
    word = request.query.get("dryRun")
    return [word] if word else []
