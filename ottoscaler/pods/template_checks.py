"""Checks a Pod template before the API server is asked (docs/templates.md).

The checks cover what would break Ottoscaler's own promises, and the structure that
:mod:`ottoscaler.pods.plan` relies on. The API server checks everything else.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from ottoscaler.model import JsonObject
from ottoscaler.pods.labels import OWN_LABELS, PREFIX
from ottoscaler.pods.view import WORKER

ACCEPTS = PREFIX + "accepts"
ENV = PREFIX + "env"  # the env names that a profile accepts
FIELDS = ("image", "command", "args", "env", "cpu", "memory")  # what a template may accept (docs/events.md)
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

# A name that Kubernetes accepts, or a prefix with "_" and "*" at its end. For all names, use `accepts: "*"`.
_ENV_PATTERN = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*(_\*)?")

# Fields that Ottoscaler sets itself, with the reason for the operator.
_RESERVED_SPEC = {
    "activeDeadlineSeconds": "Ottoscaler sets it from the event's timeouts",
    "ephemeralContainers": "only running Pods can have them",
}


def check(pod: JsonObject, wrong: list[str]) -> None:
    """Add to ``wrong`` a sentence for each problem of ``pod``, plain JSON. Any thread."""
    unknown = sorted(pod.keys() - {"apiVersion", "kind", "metadata", "spec"})
    wrong += [f"{key} is not a field of a template" for key in unknown]
    if pod.get("apiVersion") != "v1" or pod.get("kind") != "Pod":
        wrong.append("apiVersion: v1 and kind: Pod are required")
    _check_metadata(pod.get("metadata"), wrong)
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        wrong.append("spec is required: it has the Pod's fields")
        return
    if spec.get("restartPolicy", "Never") != "Never":
        wrong.append("spec.restartPolicy must be Never: a worker runs once")
    wrong += [f"spec.{key} cannot be set: {why}" for key, why in _RESERVED_SPEC.items() if key in spec]
    for field in ("affinity", "securityContext"):
        if not isinstance(spec.get(field) or {}, dict):
            wrong.append(f"spec.{field} must be a map")
    for field in ("volumes", "initContainers"):
        if not _is_objects(spec.get(field) or []):
            wrong.append(f"spec.{field} must be a list of maps")
    _check_affinity(spec.get("affinity"), wrong)
    _check_containers(spec.get("containers"), wrong)


def _check_metadata(meta: object, wrong: list[str]) -> None:
    if meta is None:
        return
    if not isinstance(meta, dict):
        wrong.append("metadata must be a map")
        return
    # Name and namespace are ignored and not refused, so that kubectl can check a template as a Pod.
    unknown = sorted(meta.keys() - {"name", "namespace", "labels", "annotations"})
    wrong += [f"metadata.{key} cannot be set: only labels and annotations can" for key in unknown]
    for field in ("labels", "annotations"):
        entries = meta[field] = meta.get(field) or {}
        if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
            wrong.append(f"metadata.{field} must be a map of strings: quote the values")
            continue
        ours = [name for name, value in entries.items() if _is_ours(name, value, field)]
        wrong += [f"metadata.{field} cannot set {name}: the name is reserved for Ottoscaler" for name in ours]
        if field == "annotations":
            _check_accepts(entries.get(ACCEPTS, ""), wrong)
            _check_env_names(entries.get(ENV, ""), wrong)


def _is_ours(name: str, value: str, field: str) -> bool:
    if field == "labels":
        # The values that every worker gets anyway are harmless. A running Pod's YAML has them.
        return OWN_LABELS.get(name, value) != value or name.startswith(PREFIX)
    return name.startswith(PREFIX) and name not in (ACCEPTS, ENV)


def _check_accepts(said: str, wrong: list[str]) -> None:
    words = set(split_words(said)) - {"*", *FIELDS}
    known = ", ".join(FIELDS)
    wrong += [
        f"annotation {ACCEPTS}: invalid value {word!r}; expected {known} or *" for word in sorted(words)
    ]


def _check_env_names(said: str, wrong: list[str]) -> None:
    for word in split_words(said):
        if not _ENV_PATTERN.fullmatch(word):
            wrong.append(f"annotation {ENV}: invalid value {word!r}; expected names or prefixes such as CI_*")
        elif word.startswith("OTTO_"):
            wrong.append(
                f"annotation {ENV}: invalid value {word!r}; names that begin with OTTO_ are reserved"
            )


def split_words(said: str) -> list[str]:
    """The words of a comma-separated annotation, sorted, each once."""
    return sorted({word.strip() for word in said.split(",")} - {""})


def _check_affinity(affinity: object, wrong: list[str]) -> None:
    """Checks only the part to which a preference for another node is added."""
    node = affinity.get("nodeAffinity") or {} if isinstance(affinity, dict) else {}
    if not isinstance(node, dict) or not isinstance(node.get(PREFERRED) or [], list):
        wrong.append("spec.affinity.nodeAffinity must be a map, its preferences a list")


def _check_containers(containers: object, wrong: list[str]) -> None:
    if not _is_objects(containers):
        wrong.append("spec.containers must be a list of maps")
        return
    if not all(isinstance(container.get("name"), str) for container in containers):
        wrong.append("spec.containers must all have a name")
    workers = [container for container in containers if container.get("name") == WORKER]
    if len(workers) != 1:
        wrong.append(
            f"spec.containers must have exactly one container named {WORKER}, but has {len(workers)}"
        )
    for worker in workers:
        _check_worker(worker, wrong)


def _check_worker(worker: JsonObject, wrong: list[str]) -> None:
    env = worker.get("env") or []
    if not _is_objects(env) or not all(isinstance(variable.get("name"), str) for variable in env):
        wrong.append("the worker's env must be a list of maps with a name")
    else:
        ours = [variable["name"] for variable in env if variable["name"].startswith("OTTO_")]
        wrong += [
            f"the worker's env cannot set {name}: names that begin with OTTO_ are reserved" for name in ours
        ]
    amounts = worker.get("resources") or {}
    if not isinstance(amounts, dict) or not all(
        isinstance(amounts.get(part) or {}, dict) for part in ("requests", "limits")
    ):
        wrong.append("the worker's resources must be a map of maps")
    if not isinstance(worker.get("image") or "", str):
        wrong.append("the worker's image must be a string")
    if worker.get("command") is not None and not isinstance(worker["command"], list):
        wrong.append("the worker's command must be a list")


def _is_objects(value: object) -> TypeGuard[list[JsonObject]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
