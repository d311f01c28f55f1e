"""What is special about Pods: creation, deletion with a grace period, eviction, and what may change."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from ottoscaler.local.apiserver import decoding, pod_validation
from ottoscaler.local.apiserver.pod_defaults import with_defaults
from ottoscaler.local.apiserver.quota import terminal
from ottoscaler.local.apiserver.scheduling_gates import added_gate_causes
from ottoscaler.local.apiserver.statuses import (
    Cause,
    bad_request,
    conflict,
    forbidden,
    invalid,
    invalid_value,
    unsupported,
)
from ottoscaler.local.apiserver.store import Store, Stored
from ottoscaler.model import JsonObject

# apimachinery's alphabet for generated names, chosen so that they spell no words.
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


def generated_name(prefix: str) -> str:
    """``prefix``, cut to 58 characters, and five random characters."""
    return prefix[:58] + "".join(secrets.choice(_SUFFIX) for _ in range(5))


def check_service_account(store: Store, namespace: str, pod: JsonObject) -> None:
    """Raise ApiError 403 if the Pod's service account does not exist."""
    spec = pod.get("spec") or {}
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    if store.get("serviceaccounts", namespace, account) is None:
        missing = (
            f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        )
        raise forbidden("pods", pod["metadata"].get("name") or "", missing)


def validated(pod: JsonObject) -> JsonObject:
    """The Pod with its defaults, ready to store. Raises ApiError 422 in kube-apiserver's words."""
    result = with_defaults(pod)
    causes = list(pod_validation.pod_causes(result))
    if causes:
        raise invalid("Pod", result["metadata"].get("name") or "", causes)
    return result


_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`, "
    "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` "
    "(only additions to existing tolerations)"
)


def check_update(name: str, old: JsonObject, new: JsonObject) -> None:
    """Raise ApiError 422 if an update changes what is fixed once a Pod exists."""
    metadata = new["metadata"]
    causes = list(pod_validation.label_causes(metadata))
    causes += [*pod_validation.finalizer_causes(old["metadata"], metadata), *added_gate_causes(old, new)]
    if _fixed(old["spec"]) != _fixed(new["spec"]):
        causes.append(Cause("FieldValueForbidden", f"Forbidden: {_MAY_CHANGE}", "spec"))
    else:
        kept = new["spec"].get("tolerations") or []
        if any(one not in kept for one in old["spec"].get("tolerations") or []):
            causes.append(Cause("FieldValueForbidden", f"Forbidden: {_MAY_CHANGE}", "spec"))
        before, after = (spec["spec"].get("activeDeadlineSeconds") for spec in (old, new))
        if before is not None and (after is None or after > before):
            field = "spec.activeDeadlineSeconds"
            why = "must be less than or equal to previous value"
            causes.append(invalid_value(field, after if after is not None else "null", why))
    if causes:
        raise invalid("Pod", name, causes)


_MAY_DIFFER = ("activeDeadlineSeconds", "tolerations", "schedulingGates")


def _fixed(spec: JsonObject) -> JsonObject:
    fixed = {key: value for key, value in spec.items() if key not in _MAY_DIFFER}
    for group in ("containers", "initContainers"):
        if group in fixed:
            fixed[group] = [{k: v for k, v in one.items() if k != "image"} for one in fixed[group]]
    return fixed


# --- deletion


def delete_options(body: bytes, query: dict[str, str]) -> JsonObject:
    """DeleteOptions from the body, or from the query if there is no body. Raises ApiError 400 and 422."""
    options: JsonObject
    if body:
        try:
            options = json.loads(body)
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
        shape: Any = {
            "gracePeriodSeconds": int,
            "preconditions": {"uid": str, "resourceVersion": str},
            "dryRun": [str],
        }
        decoding.check_types("DeleteOptions", options, shape)
    else:
        options = {}
        if query.get("gracePeriodSeconds"):
            try:
                options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
            except ValueError as error:
                text = query["gracePeriodSeconds"]
                raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
    if query.get("dryRun") and "dryRun" not in options:
        options["dryRun"] = [query["dryRun"]]
    check_dry_run("DeleteOptions", options.get("dryRun") or [])
    return options


def check_dry_run(kind: str, words: list[str]) -> bool:
    """Whether the request is a dry run. Raises ApiError 422 for any word but ``All``."""
    if not words:
        return False
    if words != ["All"]:
        shown = "[]string{" + ", ".join(f'"{word}"' for word in words) + "}"
        cause = unsupported("dryRun", 0, ("All",))
        message = cause.message.replace("Unsupported value: 0", f"Unsupported value: {shown}")
        raise invalid(kind, "", [Cause(cause.reason, message, "dryRun")], group="meta.k8s.io")
    return True


def check_preconditions(kind: str, name: str, entry: Stored, options: JsonObject) -> None:
    """Raise ApiError 409 if the object's UID or version is not the one that the client named."""
    preconditions = options.get("preconditions") or {}
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    if uid is not None and uid != entry.uid:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({entry.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(kind, name, why)
    if version is not None and version != str(entry.version):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the "
            f"ResourceVersion in record ({entry.version}). The object might have been modified"
        )
        raise conflict(kind, name, why)


def grace_seconds(pod: JsonObject, asked: int | None) -> int:
    """The seconds that the kubelet may take: those asked for, or else the Pod's own. 0 if nothing runs."""
    if not pod["spec"].get("nodeName") or terminal(pod):
        return 0
    grace = asked if asked is not None else pod["spec"].get("terminationGracePeriodSeconds")
    return max(0 if asked is not None else 1, 30 if grace is None else int(grace)) if grace else 0


def delete(store: Store, entry: Stored, asked: int | None, *, dry_run: bool = False) -> JsonObject:
    """Begin or shorten a Pod's deletion. If there is nothing to wait for, remove it. Returns the Pod.

    If it is being deleted already, only a shorter grace period changes it.
    """
    pod = entry.obj
    metadata = pod["metadata"]
    key = (metadata["namespace"], metadata["name"])
    current = metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp") and (asked is None or asked >= (current or 0)):
        return pod
    grace = grace_seconds(pod, asked)
    ends = time.time() + grace
    if metadata.get("deletionTimestamp"):
        began = datetime.fromisoformat(metadata["deletionTimestamp"]).timestamp() - (current or 0)
        ends = began + grace
    when = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    marked = {**metadata, "deletionTimestamp": when, "deletionGracePeriodSeconds": grace}
    result = {**pod, "metadata": marked}
    if dry_run:
        return result
    # This is written even if there is nothing to wait for, so that watchers see MODIFIED, then DELETED.
    written = store.update("pods", key, result).obj
    if grace or metadata.get("finalizers"):
        return written
    return store.remove("pods", key).obj


def finish_deletion(store: Store, entry: Stored) -> None:
    """Remove a Pod whose containers have ended, unless it has finalizers."""
    delete(store, entry, 0)


def released(pod: JsonObject) -> bool:
    """Whether nothing holds a deleted Pod any more after an update."""
    metadata = pod["metadata"]
    gone = metadata.get("deletionTimestamp") and not metadata.get("deletionGracePeriodSeconds")
    return bool(gone) and not metadata.get("finalizers")
