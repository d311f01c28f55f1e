"""The kinds that the local cluster serves, and their discovery documents."""

from __future__ import annotations

from dataclasses import dataclass

from ottoscaler.local.apiserver import reviews, selectors
from ottoscaler.model import JsonObject

_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource. ``label_names``: its names must be DNS labels, not just DNS subdomains. ``absent``: its
    lists are empty, and writing one is refused with a sentence, since nothing here would carry it out."""

    resource: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    fields: tuple[str, ...] = selectors.PLAIN_FIELDS
    categories: tuple[str, ...] = ()
    label_names: bool = False
    has_status: bool = False
    absent: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> bytes:
        """The beginning of an object's JSON, before its other members."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()


PODS = Kind(
    "pods", "Pod", short_names=("po",), fields=selectors.POD_FIELDS, categories=("all",), has_status=True
)
NAMESPACES = Kind(
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    fields=(*selectors.PLAIN_FIELDS, "status.phase"),
    label_names=True,
    has_status=True,
)
NODES = Kind("nodes", "Node", namespaced=False, short_names=("no",), has_status=True)
QUOTAS = Kind("resourcequotas", "ResourceQuota", short_names=("quota",), has_status=True)
EVENTS = Kind("events", "Event", short_names=("ev",), fields=selectors.EVENT_FIELDS)
SERVICE_ACCOUNTS = Kind("serviceaccounts", "ServiceAccount", short_names=("sa",))
CONFIG_MAPS = Kind("configmaps", "ConfigMap", short_names=("cm",))
SECRETS = Kind("secrets", "Secret", fields=(*selectors.PLAIN_FIELDS, "type"))
LEASES = Kind("leases", "Lease", group="coordination.k8s.io")

# Manifests have these beside Pods. They are refused, because a stored Deployment that starts nothing, or a
# Role that nobody checks, would make a user believe that all is well.
_ABSENT = (
    ("", "services", "Service"),
    ("", "limitranges", "LimitRange"),
    ("", "persistentvolumeclaims", "PersistentVolumeClaim"),
    ("apps", "deployments", "Deployment"),
    ("apps", "replicasets", "ReplicaSet"),
    ("apps", "statefulsets", "StatefulSet"),
    ("apps", "daemonsets", "DaemonSet"),
    ("batch", "jobs", "Job"),
    ("batch", "cronjobs", "CronJob"),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    ("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "roles", "Role"),
    ("rbac.authorization.k8s.io", "rolebindings", "RoleBinding"),
)
_ABSENT_OF_THE_CLUSTER = (
    ("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "priorityclasses", "PriorityClass"),
)

ALL = (
    *(PODS, NAMESPACES, NODES, QUOTAS, EVENTS, SERVICE_ACCOUNTS, CONFIG_MAPS, SECRETS, LEASES),
    *(Kind(resource, kind, group=group, absent=True) for group, resource, kind in _ABSENT),
    *(
        Kind(resource, kind, group=group, namespaced=False, absent=True)
        for group, resource, kind in _ABSENT_OF_THE_CLUSTER
    ),
)
BY_PATH = {(kind.group, kind.version, kind.resource): kind for kind in ALL}

POD_SUBRESOURCES: tuple[tuple[str, str, tuple[str, ...], JsonObject], ...] = (
    ("log", "Pod", ("get",), {}),
    ("status", "Pod", ("get", "patch", "update"), {}),
    ("eviction", "Eviction", ("create",), {"group": "policy", "version": "v1"}),
    ("binding", "Binding", ("create",), {}),
)
GROUPS = tuple(sorted({reviews.GROUP, *(kind.group for kind in ALL if kind.group)}))


def resource_list(group: str, version: str) -> JsonObject | None:
    """The ``APIResourceList`` of a group version; None if it is not served."""
    resources: list[JsonObject] = []
    for kind in ALL:
        if (kind.group, kind.version) == (group, version):
            resources.append(_described(kind))
            resources.extend(_subresources(kind))
    if (group, version) == (reviews.GROUP, "v1"):
        for resource, kind_name in reviews.KINDS.items():
            described = {"name": resource, "singularName": "", "namespaced": False, "kind": kind_name}
            resources.append({**described, "verbs": ["create"]})
    if not resources:
        return None
    resources.sort(key=lambda one: str(one["name"]))
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _described(kind: Kind) -> JsonObject:
    described: JsonObject = {
        "name": kind.resource,
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": [verb for verb in _ALL_VERBS if verb != "deletecollection" or kind is not NAMESPACES],
    }
    if kind.short_names:
        described["shortNames"] = list(kind.short_names)
    if kind.categories:
        described["categories"] = list(kind.categories)
    return described


def _subresources(kind: Kind) -> list[JsonObject]:
    def described(name: str, made: str, verbs: tuple[str, ...], more: JsonObject) -> JsonObject:
        full = f"{kind.resource}/{name}"
        base = {"name": full, "singularName": "", "namespaced": kind.namespaced, **more}
        return {**base, "kind": made, "verbs": list(verbs)}

    if kind is PODS:
        return [described(*one) for one in POD_SUBRESOURCES]
    if kind.has_status:
        return [described("status", kind.kind, ("get", "patch", "update"), {})]
    return []


def group_list() -> JsonObject:
    """The ``APIGroupList`` at /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group_document(group) for group in GROUPS]}


def group_document(group: str) -> JsonObject:
    version = {"groupVersion": f"{group}/v1", "version": "v1"}
    return {"name": group, "versions": [version], "preferredVersion": version}
