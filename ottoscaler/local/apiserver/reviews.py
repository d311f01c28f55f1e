"""The access reviews (``kubectl auth can-i``, ``--list``): all is allowed except what a fault denies."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from ottoscaler.model import JsonObject

GROUP = "authorization.k8s.io"
_ACCESS, _RULES = "selfsubjectaccessreviews", "selfsubjectrulesreviews"
KINDS = {_ACCESS: "SelfSubjectAccessReview", _RULES: "SelfSubjectRulesReview"}

Denied = Set[tuple[str, str]]  # verb and resource; each may be *


def review(resource: str, spec: dict[str, Any], denied: Denied) -> JsonObject:
    """The answer to a review of one of ``KINDS``."""
    if resource == _RULES:
        shown, status = {}, _rules(denied)
    else:
        shown, status = spec, _access(spec.get("resourceAttributes") or {}, denied)
    document = {"kind": KINDS[resource], "apiVersion": f"{GROUP}/v1"}
    return {**document, "metadata": {"creationTimestamp": None}, "spec": shown, "status": status}


def _access(asked: JsonObject, denied: Denied) -> JsonObject:
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    pairs = {(verb, one) for verb in (asked.get("verb", ""), "*") for one in (resource, "*")}
    if pairs & denied:
        return {"allowed": False, "reason": "denied on demand"}
    return {"allowed": True}


def _rules(denied: Denied) -> JsonObject:
    """The rules of what is allowed. They cannot say what is denied, so a denial makes them incomplete."""
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    others = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    return {"resourceRules": [resources], "nonResourceRules": [others], "incomplete": bool(denied)}
