"""Admission webhooks on demand: what mutating and validating ones do to a create. Event loop thread only.

The order is kube-apiserver's: the namespace and the service account are checked, then come the mutating
webhooks, then the fields are validated, then come the validating webhooks, and last comes the quota.
"""

from __future__ import annotations

from ottoscaler.local.apiserver.fault_plan import FaultPlan
from ottoscaler.local.apiserver.messages import Request
from ottoscaler.local.apiserver.statuses import ApiError, internal_error
from ottoscaler.model import JsonObject

# A webhook's own timeout (timeoutSeconds), as its URL shows it.
WEBHOOK_SECONDS = 10


class Admission:
    """Asks the fault plan what its webhooks do to a create."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    def mutated(self, obj: JsonObject, request: Request) -> JsonObject:
        """The object as the mutating webhooks leave it: another spec, other labels, another name."""
        return self._renamed(self._relabelled(self._respecified(obj, request), request), request)

    def _renamed(self, obj: JsonObject, request: Request) -> JsonObject:
        rule = self._plan.take("rename", request)
        if rule is None:
            return obj
        return {**obj, "metadata": {**obj["metadata"], "name": rule.prefix + obj["metadata"]["name"]}}

    def _respecified(self, obj: JsonObject, request: Request) -> JsonObject:
        rule = self._plan.take("respec", request)
        if rule is None:
            return obj
        spec = {**(obj.get("spec") or {}), **rule.spec}
        if rule.sidecar is not None:
            spec["containers"] = [rule.sidecar, *(spec.get("containers") or [])]
        return {**obj, "spec": spec}

    def _relabelled(self, obj: JsonObject, request: Request) -> JsonObject:
        rule = self._plan.take("relabel", request)
        if rule is None:
            return obj
        labels = dict(obj["metadata"].get("labels") or {})
        for key, value in rule.labels.items():
            if value is None:
                labels.pop(key, None)
            else:
                labels[key] = value
        metadata = {key: value for key, value in obj["metadata"].items() if key != "labels"}
        return {**obj, "metadata": {**metadata, **({"labels": labels} if labels else {})}}

    def validate(self, request: Request) -> None:
        """Raise ApiError where a validating webhook denies the request (any status), or fails (500)."""
        rule = self._plan.take("fail_webhook", request)
        if rule is not None:
            url = f"https://{rule.webhook}.svc:443/validate?timeout={WEBHOOK_SECONDS}s"
            what = f'failed to call webhook: Post "{url}": {rule.message}'
            raise internal_error(f'failed calling webhook "{rule.webhook}": {what}')
        rule = self._plan.take("deny", request)
        if rule is None:
            return
        denied = f'admission webhook "{rule.webhook}" denied the request'
        why = rule.message or rule.reason
        message = f"{denied}: {why}" if why else f"{denied} without explanation"
        raise ApiError(max(rule.status, 400), rule.reason, message)
