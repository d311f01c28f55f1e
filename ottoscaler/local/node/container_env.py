"""A container's environment, command and working directory, as the kubelet computes them.

``$(NAME)`` is replaced by the value of an earlier variable, and ``$$`` by ``$``. A reference to an unknown
variable stays as it is. There are no mounts. Instead, a path below a volume's mount path is changed to the
volume's real directory, so that an emptyDir as HOME works.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ottoscaler.errors import OttoscalerError
from ottoscaler.local.apiserver.store import Store
from ottoscaler.model import JsonObject

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ConfigError(OttoscalerError):
    """The container cannot be configured, because a key or an object that it needs is missing."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` and ``$$`` as Kubernetes does in command, args and env values."""

    def replaced(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return variables.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replaced, text)


def environment(pod: JsonObject, container: JsonObject, store: Store) -> dict[str, str]:
    """The variables that the Pod gives the container, in order. Raises ConfigError."""
    namespace = pod["metadata"]["namespace"]
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for resource, key in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
            if key in source:
                data = _data(store, resource, namespace, source[key])
                variables |= {source.get("prefix", "") + name: value for name, value in data.items()}
    for item in container.get("env") or []:
        if "valueFrom" in item:
            value = _source(pod, container, item["valueFrom"], store)
            if value is not None:
                variables[item["name"]] = value
        else:
            variables[item["name"]] = expand(item.get("value") or "", variables)
    return variables


def _data(store: Store, resource: str, namespace: str, reference: JsonObject) -> dict[str, str]:
    entry = store.get(resource, namespace, reference.get("name", ""))
    if entry is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{resource[:-1]} "{reference.get("name", "")}" not found')
    if resource == "secrets":
        encoded = entry.obj.get("data") or {}
        plain: dict[str, str] = {key: base64.b64decode(value).decode() for key, value in encoded.items()}
        return {**plain, **(entry.obj.get("stringData") or {})}
    data: dict[str, str] = entry.obj.get("data") or {}
    return data


def _source(pod: JsonObject, container: JsonObject, source: JsonObject, store: Store) -> str | None:
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        part, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str((container["resources"].get(part) or {}).get(name, "0"))
    for resource, kind in (("configmaps", "configMapKeyRef"), ("secrets", "secretKeyRef")):
        if kind in source:
            reference = source[kind]
            data = _data(store, resource, pod["metadata"]["namespace"], reference)
            if reference["key"] not in data and not reference.get("optional"):
                raise ConfigError(
                    f"couldn't find key {reference['key']} in {resource[:-1]} {reference['name']}"
                )
            return data.get(reference["key"])
    return ""


def _field(pod: JsonObject, path: str) -> str:
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match:
        return str((pod["metadata"].get(match.group(1)) or {}).get(match.group(2), ""))
    value: object = pod
    for word in path.split("."):
        value = value.get(word) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def missing_volume(pod: JsonObject, store: Store) -> str | None:
    """The kubelet's sentence about the first volume whose ConfigMap or Secret does not exist, or None."""
    for volume in pod["spec"].get("volumes") or []:
        for resource, source, key in (("configmap", "configMap", "name"), ("secret", "secret", "secretName")):
            reference = volume.get(source)
            if not isinstance(reference, dict) or reference.get("optional"):
                continue
            name = reference.get(key, "")
            if store.get(f"{resource}s", pod["metadata"]["namespace"], name) is None:
                return (
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {resource} "{name}" not found'
                )
    return None


def mounts(container: JsonObject, volumes: Path) -> dict[str, Path]:
    """For each mount path, the directory that stands for the volume."""
    result = {}
    for mount in container.get("volumeMounts") or []:
        result[mount["mountPath"].rstrip("/")] = volumes / mount["name"] / mount.get("subPath", "")
    return result


def relocated(path: str, mounted: Mapping[str, Path]) -> str:
    """The path on this machine. A path below a mount path becomes one below the volume's directory."""
    for mount, directory in mounted.items():
        if path == mount or path.startswith(mount + "/"):
            return str(directory) + path[len(mount) :]
    return path


def command_line(container: JsonObject, variables: Mapping[str, str]) -> list[str]:
    """Command and arguments. Without both, it is a shell as in busybox: no image here has an entrypoint."""
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    return [expand(word, variables) for word in words] or ["sh"]


def process_environment(
    variables: Mapping[str, str], mounted: Mapping[str, Path], hostname: str, home: Path
) -> dict[str, str]:
    """The process's whole environment. Of this machine's own, it has only PATH."""
    base = {"PATH": os.environ.get("PATH", DEFAULT_PATH), "HOSTNAME": hostname, "HOME": str(home)}
    return base | {name: relocated(value, mounted) for name, value in variables.items()}
