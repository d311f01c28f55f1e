"""Pod templates: whole Pods in YAML, one file for each profile, read once at the start (docs/templates.md).

This is the only module of this package that reads files. It refuses a template that could break what
Ottoscaler promises about its Pods (names, labels, ``restartPolicy: Never``, deadlines), and names every
problem of every file at once. ``check`` asks the API server about the rest by a dry run. An invalid profile
affects only its own events. An unreadable directory or an invalid default stops the start.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType

from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.model import JsonObject
from ottoscaler.pods import pod_security as restricted
from ottoscaler.pods.strict_yaml import load
from ottoscaler.pods.template_checks import ACCEPTS, ENV, FIELDS, check, split_words
from ottoscaler.pods.view import WORKER

BY_DEFAULT = "env,cpu,memory"  # accepted by a profile without the annotation
MAX_FILE_BYTES = 256 * 1024  # a Pod with its status must stay below etcd's 1.5 MiB
MAX_FILES = 500  # profiles; a ConfigMap holds 1 MiB in all
MAX_TOLD = 1000  # characters of an invalid template's problems in a dead letter; the log has all of them
DEFAULT = "default"

_PROFILE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Template:
    """One checked template. ``pod`` is shared by all who use it and must not be changed."""

    profile: str
    pod: JsonObject
    accepts: frozenset[str]
    env_names: tuple[str, ...] | None  # names, and prefixes with "*"; ``None`` for every name
    builtin: bool = False

    @property
    def worker(self) -> JsonObject:
        """Its container named ``worker``."""
        found: JsonObject = next(c for c in self.pod["spec"]["containers"] if c["name"] == WORKER)
        return found

    def accepts_env(self, name: str) -> bool:
        """Whether an event may set this variable."""
        if self.env_names is None:
            return True
        return any(
            name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in self.env_names
        )


@dataclass(frozen=True)
class Templates:
    """All templates by profile. ``warnings`` and ``problems`` are sentences for the log and for ``check``."""

    by_profile: Mapping[str, Template]
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()  # each with its file's name: what cannot be used, or is not read
    broken: Mapping[str, str] = field(default_factory=dict)  # profile -> why it cannot be used

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_profile))

    def get(self, profile: str) -> Template:
        """The template of a profile. Raises ``BadEvent`` with the reason if there is none. Any thread."""
        try:
            return self.by_profile[profile]
        except KeyError:
            pass
        if profile in self.broken:
            raise BadEvent(f"profile: the template of {profile!r} is invalid: {self.broken[profile]}")
        raise BadEvent(f"profile: unknown profile {profile!r}; expected one of {', '.join(self.names)}")


def load_templates(directory: str | None, *, agent_image: str, namespace: str = "") -> Templates:
    """Read the templates of ``directory``. The built-in one is ``default`` if the directory has no other.

    A worker container that names no image gets ``agent_image``. A template that names another ``namespace``
    causes a warning. Raises ``BadTemplate``, with every problem of every file, if the directory or the
    default cannot be used. Blocks on the file system; called once, at the start.
    """
    found = _read(directory) if directory else _Files()
    builtin = DEFAULT not in found.texts and DEFAULT not in found.broken
    if builtin:
        source = resources.files("ottoscaler.pods").joinpath("builtin/default.yaml")
        found.texts[DEFAULT] = ("the built-in default.yaml", source.read_text(encoding="utf-8"))
    templates: dict[str, Template] = {}
    warnings: list[str] = []
    for profile, (file, text) in sorted(found.texts.items()):
        wrong: list[str] = []
        try:
            pod = _pod(text, wrong)
            if pod is not None:
                template = _template(profile, pod, agent_image, builtin=builtin and profile == DEFAULT)
                warnings += [f"{file}: {warning}" for warning in _warnings(template, namespace)]
                templates[profile] = template
        except Exception as error:  # noqa: BLE001 - one odd template must not stop all others
            wrong.append(f"internal error: {type(error).__name__}")
        if profile not in templates:
            found.refuse(profile, [f"{file}: {problem}" for problem in wrong])
    if DEFAULT not in templates:
        raise BadTemplate(found.problems)
    broken = {profile: why for profile, why in found.broken.items() if profile not in templates}
    return Templates(
        MappingProxyType(templates), tuple(warnings), tuple(found.problems), MappingProxyType(broken)
    )


def _pod(text: str, wrong: list[str]) -> JsonObject | None:
    """The Pod in ``text``, or ``None`` with sentences added to ``wrong``."""
    pod = load(text, wrong)
    if pod is not None:
        check(pod, wrong)
    return None if wrong else pod


@dataclass
class _Files:
    """What a directory holds. ``texts`` has each profile's file name and text, ``broken`` the reason if
    none."""

    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def refuse(self, profile: str, problems: list[str]) -> None:
        self.problems += problems
        before = [self.broken[profile]] if profile in self.broken else []
        told = "; ".join(before + problems)
        self.broken[profile] = told if len(told) <= MAX_TOLD else told[: MAX_TOLD - 3] + "..."


def _read(directory: str) -> _Files:
    """Follows links, because ConfigMap mounts are symbolic links. Raises ``BadTemplate``."""
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError as error:
        raise BadTemplate([f"{directory}: cannot be read: {error.strerror}"]) from None
    if len(names) > MAX_FILES:
        raise BadTemplate([f"{directory} has {len(names)} files; expected at most {MAX_FILES}"])
    found = _Files()
    for name in names:
        profile, extension = os.path.splitext(name)
        # Default.yaml was meant to be the default too. Ignoring it would run the built-in template instead.
        meant = DEFAULT if profile.lower() == DEFAULT and f"{DEFAULT}.yaml" not in names else profile
        if extension == ".yml":
            found.refuse(meant, [f"{name}: ignored; rename it to {meant}.yaml"])
        if extension != ".yaml":
            continue
        if not _PROFILE.fullmatch(profile):
            found.refuse(
                meant,
                [f"{name}: invalid name; expected a profile's name (up to 63 of a-z, 0-9 and -) and .yaml"],
            )
            continue
        try:
            found.texts[profile] = (name, _text(os.path.join(directory, name)))
        except (OSError, ValueError) as error:
            found.refuse(profile, [f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}"])
    return found


def _text(path: str) -> str:
    # Without O_NONBLOCK, opening a named pipe would block the start for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    return raw.decode()


def _template(profile: str, pod: JsonObject, agent_image: str, *, builtin: bool) -> Template:
    annotations = (pod.get("metadata") or {}).get("annotations", {})
    words = split_words(annotations.get(ACCEPTS, "*" if profile == DEFAULT else BY_DEFAULT))
    accepts = frozenset(FIELDS if "*" in words else words)
    # A list of dangerous names is never complete (MAKEFLAGS, GOFLAGS, RUSTC_WRAPPER...), and a profile may
    # mount secrets. So it accepts only the names that its operator lists.
    every_name = profile == DEFAULT or "*" in words
    env_names = None if every_name else tuple(split_words(annotations.get(ENV, "")))
    if not every_name and not env_names:
        accepts -= {"env"}
    template = Template(profile, pod, accepts, env_names, builtin)
    if not template.worker.get("image"):
        template.worker["image"] = agent_image
    return template


def _warnings(template: Template, namespace: str) -> list[str]:
    found = [
        f"a restricted namespace would refuse it: {problem}" for problem in restricted.problems(template.pod)
    ]
    named = (template.pod.get("metadata") or {}).get("namespace")
    if namespace and named and named != namespace:
        found.append(f"metadata.namespace {named!r} is ignored; workers run in {namespace} (NAMESPACE)")
    annotations = (template.pod.get("metadata") or {}).get("annotations", {})
    asks = "env" in split_words(annotations.get(ACCEPTS, BY_DEFAULT))
    if template.env_names is None:
        if ENV in annotations:
            found.append(f"annotation {ENV} has no effect: this template accepts every name")
    elif asks and ENV not in annotations:
        # Such a profile accepted env before there was this annotation. An empty one silences the warning.
        found.append(f"events with env are refused: list the accepted names in the annotation {ENV}")
    elif template.env_names and not asks:
        found.append(f"annotation {ENV} has no effect: {ACCEPTS} does not list env")
    return found
