"""What kube-apiserver refuses about a Pod, with one cause for every wrong field.

It checks only what Ottoscaler and its users' templates can get wrong. A real server may still refuse a Pod
that passes here, because of a rare field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ottoscaler.local.apiserver import quantity
from ottoscaler.local.apiserver.scheduling_gates import gate_causes
from ottoscaler.local.apiserver.statuses import Cause, duplicate, invalid_value, required, unsupported
from ottoscaler.model import JsonObject

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_ENV_RULE = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and "
    "must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for "
    "validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')"
)
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_FINALIZER_RULE = "name is neither a standard finalizer name nor is it fully qualified"
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
MAX_ANNOTATIONS_BYTES = 256 * 1024  # apimachinery's TotalAnnotationSizeLimitB
_INT32 = 2**31 - 1


def metadata_causes(metadata: JsonObject, *, label_name: bool = False) -> Iterator[Cause]:
    """What is wrong with a new object's name, labels and annotations."""
    name = metadata.get("name")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif label_name and not (_LABEL.fullmatch(name) and len(name) <= 63):
        yield invalid_value("metadata.name", name, _too_long(name, 63) or LABEL_RULE)
    elif not (_SUBDOMAIN.fullmatch(name) and len(name) <= 253):
        yield invalid_value("metadata.name", name, _too_long(name, 253) or SUBDOMAIN_RULE)
    yield from label_causes(metadata)


def label_causes(metadata: JsonObject) -> Iterator[Cause]:
    """What is wrong with an object's labels, annotations and finalizers."""
    for key, value in (metadata.get("labels") or {}).items():
        yield from _key_causes("metadata.labels", key)
        if len(value) > 63:
            yield invalid_value("metadata.labels", value, "must be no more than 63 characters")
        elif not _VALUE.fullmatch(value):
            yield invalid_value("metadata.labels", value, _VALUE_RULE)
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _key_causes("metadata.annotations", key.lower())
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        limit = f"must have at most {MAX_ANNOTATIONS_BYTES} bytes"
        yield Cause("FieldValueTooLong", f"Too long: {limit}", "metadata.annotations")
    for i, name in enumerate(metadata.get("finalizers") or []):
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            yield invalid_value(f"metadata.finalizers[{i}]", name, _FINALIZER_RULE)


def finalizer_causes(old: JsonObject, new: JsonObject) -> Iterator[Cause]:
    """What is wrong with an update's finalizers: an object that is being deleted gets no new ones."""
    before = old.get("finalizers") or []
    added = [name for name in new.get("finalizers") or [] if name not in before]
    if old.get("deletionTimestamp") and added:
        names = ", ".join(f'"{name}"' for name in added)
        why = "no new finalizers can be added if the object is being deleted, found new finalizers "
        yield Cause("FieldValueForbidden", f"Forbidden: {why}[]string{{{names}}}", "metadata.finalizers")


def _too_long(name: str, limit: int) -> str:
    return f"must be no more than {limit} characters" if len(name) > limit else ""


def _key_causes(field: str, key: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        yield invalid_value(field, key, "prefix part must be non-empty")
    elif slash and not _SUBDOMAIN.fullmatch(prefix):
        yield invalid_value(field, key, "prefix part " + SUBDOMAIN_RULE)
    if not name:
        yield invalid_value(field, key, "name part must be non-empty")
    if len(name) > 63:
        yield invalid_value(field, key, "name part must be no more than 63 characters")
    if not _QUALIFIED.fullmatch(name):
        yield invalid_value(field, key, _QUALIFIED_RULE)


def pod_causes(pod: JsonObject) -> Iterator[Cause]:
    """What is wrong with a Pod that has its defaults."""
    spec = pod["spec"]
    yield from metadata_causes(pod["metadata"])
    volumes: set[str] = set()
    for i, volume in enumerate(spec.get("volumes") or []):
        yield from _name_causes(f"spec.volumes[{i}].name", volume.get("name"), volumes)
    names: set[str] = set()
    if not spec.get("containers"):
        yield required("spec.containers")
    for group in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(group) or []):
            yield from _container_causes(f"spec.{group}[{i}]", container, names, volumes)
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], ("Always", "OnFailure", "Never"))
    policies = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
    if spec["dnsPolicy"] not in policies:
        yield unsupported("spec.dnsPolicy", spec["dnsPolicy"], policies)
    for i, gate in enumerate(spec.get("schedulingGates") or []):
        yield from _key_causes(f"spec.schedulingGates[{i}]", str(gate.get("name", "")))
    yield from gate_causes(spec)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _INT32:
        why = f"must be between 1 and {_INT32}, inclusive"
        yield invalid_value("spec.activeDeadlineSeconds", deadline, why)


def _name_causes(field: str, name: str | None, taken: set[str]) -> Iterator[Cause]:
    if not name:
        yield required(field)
    elif len(name) > 63 or not _LABEL.fullmatch(name):
        yield invalid_value(field, name, _too_long(name, 63) or LABEL_RULE)
    elif name in taken:
        yield duplicate(field, name)
    else:
        taken.add(name)


def _container_causes(
    path: str, container: JsonObject, names: set[str], volumes: set[str]
) -> Iterator[Cause]:
    yield from _name_causes(f"{path}.name", container.get("name"), names)
    image = container.get("image")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    policy = container["terminationMessagePolicy"]
    if policy not in ("File", "FallbackToLogsOnError"):
        why = "must be 'File' or 'FallbackToLogsOnError'"
        yield invalid_value(f"{path}.terminationMessagePolicy", policy, why)
    for i, variable in enumerate(container.get("env") or []):
        name = variable.get("name")
        if not name:
            yield required(f"{path}.env[{i}].name")
        elif not _ENV_NAME.fullmatch(name):
            yield invalid_value(f"{path}.env[{i}].name", name, _ENV_RULE)
    for i, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            name = mount.get("name") or ""
            yield Cause("FieldValueNotFound", f'Not found: "{name}"', f"{path}.volumeMounts[{i}].name")
    policies = ("Always", "IfNotPresent", "Never")
    if container["imagePullPolicy"] not in policies:
        yield unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], policies)
    yield from _resource_causes(f"{path}.resources", container["resources"])


def _resource_causes(path: str, resources: JsonObject) -> Iterator[Cause]:
    limits = resources.get("limits") or {}
    for part in ("limits", "requests"):
        for name, amount in (resources.get(part) or {}).items():
            field = f"{path}.{part}[{name}]"
            if "/" not in name and name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
                yield invalid_value(field, name, "must be a standard resource type or fully qualified")
                yield invalid_value(field, name, "must be a standard resource for containers")
            if quantity.parse(amount) < 0:
                yield invalid_value(field, amount, "must be greater than or equal to 0")
    for name, amount in (resources.get("requests") or {}).items():
        if name in limits and quantity.parse(amount) > quantity.parse(limits[name]):
            why = f"must be less than or equal to {name} limit"
            yield invalid_value(f"{path}.requests", amount, why)
