"""Pod templates: whole Pods in YAML, one file for each profile, read once at the start (docs/templates.md).

The only module of the pure core that reads files. A template that could break what Ottoscaler promises
about its Pods (names, labels, ``restartPolicy: Never``, deadlines) is refused here, with every problem of
every file named at once; what only the API server can tell, ``check`` asks it by a dry run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from ottoscaler import restricted
from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.model import JsonObject
from ottoscaler.podview import WORKER
from ottoscaler.templatecheck import ACCEPTS, FIELDS, check
from ottoscaler.yamlfile import load

BY_DEFAULT = frozenset({"env", "cpu", "memory"})  # of a profile that does not say
MAX_FILE_BYTES = 256 * 1024  # a Pod with its status must stay below etcd's 1.5 MiB
MAX_FILES = 500  # profiles; a ConfigMap holds 1 MiB in all

_PROFILE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Template:
    """One checked template. ``pod`` is shared by all who use it and must not be changed."""

    profile: str
    pod: JsonObject
    accepts: frozenset[str]
    accepts_said: bool  # by the annotation, so the operator has thought about it
    builtin: bool = False

    @property
    def worker(self) -> JsonObject:
        """Its container named ``worker``."""
        found: JsonObject = next(c for c in self.pod["spec"]["containers"] if c["name"] == WORKER)
        return found


@dataclass(frozen=True)
class Templates:
    """All templates by profile. ``warnings`` are sentences for the log and for ``check``."""

    by_profile: Mapping[str, Template]
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_profile))

    def get(self, profile: str) -> Template:
        """The template of a profile. Raises ``BadEvent``, naming the known ones. Any thread."""
        try:
            return self.by_profile[profile]
        except KeyError:
            raise BadEvent(f"profile {profile!r} is unknown; known: {', '.join(self.names)}") from None


def load_templates(directory: str | None, *, agent_image: str) -> Templates:
    """Read the templates of ``directory``; the built-in one is ``default`` where there is no other.

    ``agent_image`` is given to every worker container that names no image. Raises ``BadTemplate`` with
    every problem of every file. Blocks on the file system; called once, at the start.
    """
    problems: list[str] = []
    texts: dict[str, tuple[str, str]] = {}  # profile -> its file and text
    if directory:
        texts = _read(directory, problems)
    builtin = "default" not in texts
    if builtin:
        source = resources.files("ottoscaler").joinpath("builtin/default.yaml")
        texts["default"] = ("the built-in default.yaml", source.read_text(encoding="utf-8"))
    templates: dict[str, Template] = {}
    warnings: list[str] = []
    for profile, (file, text) in sorted(texts.items()):
        wrong: list[str] = []
        pod = load(text, wrong)
        if pod is not None and not wrong:
            check(pod, wrong)
        if pod is not None and not wrong:
            template = _template(profile, pod, agent_image, builtin=builtin and profile == "default")
            templates[profile] = template
            warnings += [f"{file}: {warning}" for warning in _warnings(template)]
        problems += [f"{file}: {problem}" for problem in wrong]
    if problems:
        raise BadTemplate(problems)
    return Templates(MappingProxyType(templates), tuple(warnings))


def _read(directory: str, problems: list[str]) -> dict[str, tuple[str, str]]:
    """Profile to file name and text. ConfigMap mounts are symbolic links, so links are followed."""
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError as error:
        problems.append(f"{directory} cannot be read: {error.strerror}")
        return {}
    if len(names) > MAX_FILES:
        problems.append(f"{directory} holds {len(names)} files: up to {MAX_FILES} are read")
        return {}
    texts: dict[str, tuple[str, str]] = {}
    for name in names:
        profile, extension = os.path.splitext(name)
        if extension == ".yml":
            problems.append(f"{name} is not read: call it {profile}.yaml")
        if extension != ".yaml":
            continue
        if not _PROFILE.fullmatch(profile):
            problems.append(f"{name} is not named by a profile: up to 63 lower case letters, digits and -")
            continue
        try:
            texts[profile] = (name, _text(os.path.join(directory, name)))
        except (OSError, ValueError) as error:
            problems.append(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}")
    return texts


def _text(path: str) -> str:
    # Without O_NONBLOCK, opening a named pipe would block the start for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return raw.decode()


def _template(profile: str, pod: JsonObject, agent_image: str, *, builtin: bool) -> Template:
    said = (pod.get("metadata") or {}).get("annotations", {}).get(ACCEPTS)
    template = Template(profile, pod, frozenset(), said is not None, builtin)
    if not template.worker.get("image"):
        template.worker["image"] = agent_image
    words = {word.strip() for word in (said or "").split(",")} - {""}
    accepts = frozenset(words)
    if "*" in words or (said is None and profile == "default"):
        accepts = frozenset(FIELDS)
    elif said is None:
        accepts = BY_DEFAULT
        if template.worker.get("envFrom"):
            # The names in there are not known here, so env could replace one of them.
            accepts -= {"env"}
    return Template(profile, pod, accepts, said is not None, builtin)


def _warnings(template: Template) -> list[str]:
    found = [
        f"a restricted namespace would refuse it: {problem}" for problem in restricted.problems(template.pod)
    ]
    if template.profile != "default" and not template.accepts_said and template.worker.get("envFrom"):
        found.append(f"env is not accepted, since envFrom may set any name; say so in {ACCEPTS} to allow it")
    return found
