"""Reads the files of a directory of Pod templates, and finds out whether they have changed.

No other module of this package reads files, except for the built-in template.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from ottoscaler.errors import BadTemplate
from ottoscaler.events.field_rules import PROFILE

MAX_FILE_BYTES = 256 * 1024  # because a Pod with its status must stay below etcd's 1.5 MiB
MAX_FILES = 500  # profiles; a ConfigMap holds 1 MiB in all
MAX_TOLD = 1000  # characters of an invalid template's problems in a dead letter; the log has all of them
DEFAULT = "default"


@dataclass
class TemplateFiles:
    """What a directory holds. ``texts`` has each profile's file name and text. ``broken`` has, for a profile
    without a text, the reason."""

    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def refuse(self, profile: str, problems: list[str]) -> None:
        self.problems += problems
        before = [self.broken[profile]] if profile in self.broken else []
        told = "; ".join(before + problems)
        self.broken[profile] = told if len(told) <= MAX_TOLD else told[: MAX_TOLD - 3] + "..."


def read_files(directory: str) -> TemplateFiles:
    """Read a directory's files. Links are followed, because ConfigMap mounts are symbolic links. Raises
    ``BadTemplate`` if the directory cannot be used."""
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError as error:
        raise BadTemplate([f"{directory}: cannot be read: {error.strerror}"]) from None
    if len(names) > MAX_FILES:
        raise BadTemplate([f"{directory} has {len(names)} files; expected at most {MAX_FILES}"])
    found = TemplateFiles()
    for name in names:
        profile, extension = os.path.splitext(name)
        # Default.yaml was meant to be the default too. Ignoring it would run the built-in template instead.
        meant = DEFAULT if profile.lower() == DEFAULT and f"{DEFAULT}.yaml" not in names else profile
        if extension == ".yml":
            found.refuse(meant, [f"{name}: ignored; rename it to {meant}.yaml"])
        if extension != ".yaml":
            continue
        if not PROFILE.fullmatch(profile):
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


def status_of(directory: str) -> object:
    """The files' status: a value that differs once a file was added, removed or written, or a link leads
    elsewhere. It follows links, opens no file and raises nothing."""
    try:
        names = sorted(os.listdir(directory))[: MAX_FILES * 2]
    except OSError as error:
        return error.errno
    return tuple((name, _status(os.path.join(directory, name))) for name in names if not name.startswith("."))


def _status(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
