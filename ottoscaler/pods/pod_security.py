"""Finds what the Pod Security Standard "restricted" would refuse in a Pod.

It follows the published standard's baseline and restricted profiles for Linux Pods. The API server decides;
this module serves only for a precise warning before the first Pod is created.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ottoscaler.model import JsonObject

_VOLUMES = frozenset({
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
})  # fmt: skip
_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
})  # fmt: skip
_SECCOMP = ("RuntimeDefault", "Localhost")


def problems(pod: JsonObject) -> list[str]:
    """A clause for each violation of the standard; empty for a Pod that meets it."""
    spec = _object(pod.get("spec"))
    found = [f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    for volume in _objects(spec.get("volumes")):
        kinds = sorted(volume.keys() - {"name"} - _VOLUMES)
        found += [f"volume {volume.get('name')} is a {kind}" for kind in kinds]
    shared = _object(spec.get("securityContext"))
    sysctls = [sysctl.get("name") for sysctl in _objects(shared.get("sysctls"))]
    found += [f"sysctl {name} is set" for name in sysctls if str(name) not in _SYSCTLS]
    if shared.get("runAsUser") == 0:
        found.append("securityContext.runAsUser is 0")
    for container in (*_objects(spec.get("initContainers")), *_objects(spec.get("containers"))):
        found += [f"container {container.get('name')} {problem}" for problem in _container(container, shared)]
    return found


def _container(container: JsonObject, shared: JsonObject) -> Iterator[str]:
    own = _object(container.get("securityContext"))
    capabilities = _object(own.get("capabilities"))
    if own.get("privileged"):
        yield "is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "does not set allowPrivilegeEscalation: false"
    if "ALL" not in _list(capabilities.get("drop")):
        yield "does not drop ALL capabilities"
    if any(added != "NET_BIND_SERVICE" for added in _list(capabilities.get("add"))):
        yield "adds capabilities"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "does not set runAsNonRoot: true"
    if own.get("runAsUser") == 0:
        yield "sets runAsUser: 0"
    seccomp = _object(own.get("seccompProfile")) or _object(shared.get("seccompProfile"))
    if seccomp.get("type") not in _SECCOMP:
        yield "does not set seccompProfile: RuntimeDefault"
    if own.get("procMount", "Default") != "Default":
        yield "sets procMount"
    if any(port.get("hostPort") for port in _objects(container.get("ports"))):
        yield "uses a hostPort"


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in _list(value) if isinstance(item, dict)]
