"""ResourceQuota: what a namespace's Pods use, and whether one more fits.

The store's events keep the use up to date, so that admission costs the same with one Pod as with five
thousand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from decimal import Decimal

from ottoscaler.local.apiserver import quantity
from ottoscaler.local.apiserver.statuses import forbidden
from ottoscaler.local.apiserver.store import Event, Store, Stored
from ottoscaler.model import JsonObject

Amounts = dict[str, Decimal]

_ALIASES = {
    "cpu": "requests.cpu",
    "memory": "requests.memory",
    "ephemeral-storage": "requests.ephemeral-storage",
}
_COMPUTE = tuple(
    f"{part}.{name}" for part in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")
)


def pod_amounts(spec: JsonObject) -> Amounts:
    """What a Pod asks for, as ``requests.cpu`` and so on: the containers' sum, or the largest init
    container's amount if that is more."""
    sums: Amounts = {}
    for container in spec.get("containers") or []:
        for name, amount in _container_amounts(container):
            sums[name] = sums.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _container_amounts(container):
            sums[name] = max(sums.get(name, Decimal(0)), amount)
    return sums


def _container_amounts(container: JsonObject) -> Iterable[tuple[str, Decimal]]:
    resources = container.get("resources") or {}
    for part in ("requests", "limits"):
        for name, amount in (resources.get(part) or {}).items():
            yield f"{part}.{name}", quantity.parse(str(amount))


def terminal(pod: JsonObject) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


class Quotas:
    """Admission and the quotas' status. Event loop thread only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: dict[str, Amounts] = {}
        self._limited: set[str] = set()  # namespaces that have a quota
        self._stale: set[str] = set()  # namespaces whose quotas' status must be written
        store.subscribe("pods", self._pod_event)
        store.subscribe("resourcequotas", self._quota_event)

    def admit(self, namespace: str, name: str, pod: JsonObject) -> None:
        """Raise ApiError 403 in the real server's words if the Pod does not fit a quota."""
        if namespace not in self._limited:
            return
        asked = {"count/pods": Decimal(1), "pods": Decimal(1), **pod_amounts(pod["spec"])}
        used = self._used.get(namespace, {})
        for (_, quota_name), entry in self._store.items("resourcequotas", namespace):
            hard = (entry.obj.get("spec") or {}).get("hard") or {}
            self._check_known(name, quota_name, entry.obj.get("status") or {}, asked)
            self._check(name, quota_name, hard, asked, used)

    @staticmethod
    def _check_known(name: str, quota: str, status: JsonObject, asked: Amounts) -> None:
        """Raise ApiError 403 if the Pod asks for something of which the quota's use is not known yet."""
        concerned = sorted(key for key in status.get("hard") or {} if _ALIASES.get(key, key) in asked)
        if any(key not in (status.get("used") or {}) for key in concerned):
            why = f"status unknown for quota: {quota}, resources: {','.join(concerned)}"
            raise forbidden("pods", name, why)

    @staticmethod
    def _check(name: str, quota: str, hard: Mapping[str, str], asked: Amounts, used: Amounts) -> None:
        missing = sorted(
            key for key in hard if _ALIASES.get(key, key) in _COMPUTE and _ALIASES.get(key, key) not in asked
        )
        if missing:
            raise forbidden("pods", name, f"failed quota: {quota}: must specify {','.join(missing)}")
        zero = Decimal(0)
        over = []
        for key in sorted(hard):
            real = _ALIASES.get(key, key)
            if real in asked and used.get(real, zero) + asked[real] > quantity.parse(str(hard[key])):
                over.append((key, (asked[real], used.get(real, zero), quantity.parse(str(hard[key])))))
        if over:
            words = [
                ",".join(f"{key}={quantity.decimal(amounts[i])}" for key, amounts in over) for i in (0, 1, 2)
            ]
            why = f"exceeded quota: {quota}, requested: {words[0]}, used: {words[1]}, limited: {words[2]}"
            raise forbidden("pods", name, why)

    # --- keeping count

    def _pod_event(self, event: Event) -> None:
        before = event.previous
        after = event.entry if event.type != "DELETED" else None
        if before is not None and after is not None and terminal(before.obj) == terminal(after.obj):
            return
        namespace = event.key[0]
        used = self._used.setdefault(namespace, {})
        for entry, sign in ((before, -1), (after, 1)):
            if entry is not None:
                for key, amount in self._counted(entry).items():
                    used[key] = used.get(key, Decimal(0)) + sign * amount
        if namespace in self._limited:
            self._refresh_soon(namespace)

    @staticmethod
    def _counted(entry: Stored) -> Amounts:
        if terminal(entry.obj):
            return {"count/pods": Decimal(1)}
        return {"count/pods": Decimal(1), "pods": Decimal(1), **pod_amounts(entry.obj["spec"])}

    def _quota_event(self, event: Event) -> None:
        namespace = event.key[0]
        if event.type == "DELETED":
            if next(self._store.entries("resourcequotas", namespace), None) is None:
                self._limited.discard(namespace)
            return
        self._limited.add(namespace)
        # Like the real controller, this ignores a status from which somebody has only removed the use.
        spec, status = event.entry.obj.get("spec") or {}, event.entry.obj.get("status") or {}
        if spec.get("hard") != status.get("hard"):
            self._refresh_soon(namespace)

    def _refresh_soon(self, namespace: str) -> None:
        if namespace not in self._stale:
            self._stale.add(namespace)
            asyncio.get_running_loop().call_soon(self._refresh, namespace)

    def _refresh(self, namespace: str) -> None:
        """Write the use into the quotas' status, as the quota controller does."""
        self._stale.discard(namespace)
        used = self._used.get(namespace, {})
        for key, entry in self._store.items("resourcequotas", namespace):
            hard = (entry.obj.get("spec") or {}).get("hard") or {}
            shown = {name: quantity.decimal(used.get(_ALIASES.get(name, name), Decimal(0))) for name in hard}
            metadata = dict(entry.obj["metadata"])
            changed = {**entry.obj, "metadata": metadata, "status": {"hard": dict(hard), "used": shown}}
            self._store.update("resourcequotas", key, changed)
