"""The Pod Security Standard "restricted", read from its published tables, for what our manifests use.

Written apart from :mod:`ottoscaler.pods.pod_security`, so that a mistake there is not repeated here.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

VOLUME_TYPES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
    "secret",
}  # fmt: skip


def violations(spec: Json) -> list[str]:
    """What the standard forbids about a pod spec; empty for one that it allows."""
    pod = spec.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += ["sysctls"] if pod.get("sysctls") else []
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in volume.keys() - {"name"} - VOLUME_TYPES]
    if pod.get("runAsUser") == 0:
        found.append("runAsUser")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind, []):
            found += [f"{container['name']}: {problem}" for problem in _of_container(container, pod)]
    return found


def _of_container(container: Json, pod: Json) -> list[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    capabilities = own.get("capabilities", {})
    demands = {
        "privileged": not own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop": "ALL" in capabilities.get("drop", []),
        "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "runAsNonRoot": both.get("runAsNonRoot") is True,
        "runAsUser": both.get("runAsUser") != 0,
        "seccompProfile": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "procMount": own.get("procMount", "Default") == "Default",
        "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        "seLinux": both.get("seLinuxOptions", {}).keys() <= {"type", "level"},
        "host probes": not _probes_another_host(container),
    }
    return [name for name, fulfilled in demands.items() if not fulfilled]


def _probes_another_host(container: Json) -> bool:
    probes = [container.get(f"{name}Probe", {}) for name in ("liveness", "readiness", "startup")]
    return any(probe.get(way, {}).get("host") for probe in probes for way in ("httpGet", "tcpSocket"))
