"""Pod templates: whole Pods in YAML, one file for each profile (docs/templates.md).

A template that could break what Ottoscaler promises about its Pods (names, labels, ``restartPolicy: Never``,
deadlines) is refused, and every problem of every file is named at once. ``check`` asks the API server about
the rest by a dry run. An invalid profile affects only its own events. With an unreadable directory or an
invalid default, the service does not start. ``live_templates`` handles later changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from types import MappingProxyType

from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.model import JsonObject
from ottoscaler.pods import pod_security as restricted
from ottoscaler.pods.strict_yaml import load
from ottoscaler.pods.template_checks import ACCEPTS, ENV, FIELDS, check, split_words
from ottoscaler.pods.template_files import DEFAULT, TemplateFiles, read_files, status_of
from ottoscaler.pods.view import WORKER

BY_DEFAULT = "env,cpu,memory"  # what a profile without the annotation accepts


@dataclass(frozen=True)
class Template:
    """One checked template. ``pod`` is shared by all who use it and must not be changed."""

    profile: str
    pod: JsonObject
    accepts: frozenset[str]
    env_names: tuple[str, ...] | None  # names, and prefixes with "*"; ``None`` for every name
    builtin: bool = False

    @cached_property
    def size(self) -> int:
        """Bytes of the Pod as JSON."""
        return len(json.dumps(self.pod))

    @cached_property
    def position(self) -> int:
        """The index of the container named ``worker`` in the list of containers."""
        return [container["name"] for container in self.pod["spec"]["containers"]].index(WORKER)

    @property
    def worker(self) -> JsonObject:
        """The template's container named ``worker``."""
        found: JsonObject = self.pod["spec"]["containers"][self.position]
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
    problems: tuple[str, ...] = ()  # about files that cannot be used or are not read; each names its file
    broken: Mapping[str, str] = field(default_factory=dict)  # profile -> why it cannot be used

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_profile))

    def get(self, profile: str) -> Template:
        """The template of a profile. Raises ``BadEvent`` with the reason if there is none. Any thread."""
        if profile in self.by_profile:
            return self.by_profile[profile]
        if profile in self.broken:
            raise BadEvent(f"profile: the template of {profile!r} is invalid: {self.broken[profile]}")
        raise BadEvent(f"profile: unknown profile {profile!r}; expected one of {', '.join(self.names)}")


@dataclass(frozen=True)
class TemplateDirectory:
    """Where templates come from. With an empty ``path``, there is only the built-in one.

    A worker container that names no image gets ``agent_image``. A template that names another ``namespace``
    causes a warning. Calls block on the file system.
    """

    path: str
    agent_image: str
    namespace: str = ""

    def status(self) -> object:
        """The files' status: a value that differs once the files have changed. Raises nothing."""
        return status_of(self.path) if self.path else None

    def read(self) -> Templates:
        """The directory's templates as they are now. If it has no default, the built-in template is
        ``default``; if its default is broken, the result has none. Raises ``BadTemplate`` if the directory
        cannot be used."""
        found = read_files(self.path) if self.path else TemplateFiles()
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
                    of_ours = builtin and profile == DEFAULT
                    template = _template(profile, pod, self.agent_image, builtin=of_ours)
                    warnings += [f"{file}: {warning}" for warning in _warnings(template, self.namespace)]
                    templates[profile] = template
            except Exception as error:  # noqa: BLE001 - one odd template must not stop all others
                wrong.append(f"internal error: {type(error).__name__}")
            if profile not in templates:
                found.refuse(profile, [f"{file}: {problem}" for problem in wrong])
        broken = {profile: why for profile, why in found.broken.items() if profile not in templates}
        return Templates(
            MappingProxyType(templates), tuple(warnings), tuple(found.problems), MappingProxyType(broken)
        )


def load_templates(directory: str | None, *, agent_image: str, namespace: str = "") -> Templates:
    """Read the templates at the start: those of a directory, or only the built-in one.

    Raises ``BadTemplate``, with every problem of every file, if the directory or the default cannot be used.
    """
    found = TemplateDirectory(directory or "", agent_image, namespace).read()
    if DEFAULT not in found.by_profile:
        raise BadTemplate(list(found.problems))
    return found


def _pod(text: str, wrong: list[str]) -> JsonObject | None:
    """The Pod in ``text``, or ``None`` with sentences added to ``wrong``."""
    pod = load(text, wrong)
    if pod is not None:
        check(pod, wrong)
    return None if wrong else pod


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
        # An empty annotation, for a profile that is to accept none, silences the warning.
        found.append(f"events with env are refused: list the accepted names in the annotation {ENV}")
    elif template.env_names and not asks:
        found.append(f"annotation {ENV} has no effect: {ACCEPTS} does not list env")
    return found
