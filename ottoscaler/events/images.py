"""Which images an event may name.

An image's name is read as the container runtimes read it (registry, repository, tag, digest) and
compared part by part, so that no pattern can be met by a name that only looks alike:

- ``busybox`` allows the repository ``docker.io/library/busybox`` with any tag or digest;
- ``busybox:1.36`` allows only this tag, and no digest: if a name has both, runtimes pull the digest and
  never look at the tag, so the tag would prove nothing;
- ``team/app@sha256:...`` allows this digest with any tag; ``team/app:*@*`` allows every name with both;
- ``*`` stands for any run of characters within one segment of the path, within the tag or within the
  digest, never for a ``/``. In a registry's host it may only stand for the leading labels:
  ``*.example.com/team/*``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 512  # characters of a whole reference: 255 of name, 128 of tag, 136 of a sha512 digest
MAX_NAME = 255  # characters of registry and repository, as the registries' reference grammar has it
DEFAULT_REGISTRY, DEFAULT_NAMESPACE, DEFAULT_TAG = "docker.io", "library", "latest"

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[0-9]{1,5})?")
_SEGMENT = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_PATTERN_SEGMENT = re.compile(r"[a-z0-9._*-]+")
_PATTERN_TAG = re.compile(r"[A-Za-z0-9_.*-]{1,128}")
_PATTERN_DIGEST = re.compile(r"[a-z0-9:*]{1,136}")


@dataclass(frozen=True, slots=True)
class Reference:
    """The parts of an image's name. ``tag`` and ``digest`` may be empty. Registry and namespace are never
    empty: defaults are filled in."""

    registry: str
    path: tuple[str, ...]
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        return "/".join((self.registry, *self.path))


def parse(image: str) -> Reference:
    """Read ``image`` as a container runtime does. Raises ``ValueError`` with a clause: what is wrong."""
    if not image or len(image) > MAX_LENGTH or not image.isascii():
        raise ValueError(f"not 1 to {MAX_LENGTH} ASCII characters")
    reference = _split(image)
    if not _HOST.fullmatch(reference.registry):
        raise ValueError("the registry is not a lowercase host such as registry.example.com")
    if not all(_SEGMENT.fullmatch(segment) for segment in reference.path):
        raise ValueError("the repository is not lowercase letters and digits, separated by single . _ - or /")
    if len(reference.repository) > MAX_NAME:
        raise ValueError(f"the name has more than {MAX_NAME} characters")
    if (reference.tag or ":" in _last(image)) and not _TAG.fullmatch(reference.tag):
        raise ValueError("the tag is not 1 to 128 letters, digits, _ . or -")
    if "@" in image and not _DIGEST.fullmatch(reference.digest):
        raise ValueError("the digest is not sha256: and 64 hex digits")
    if _IMAGE_ID.fullmatch(image):
        raise ValueError("an image ID, not a name")
    if not reference.tag and not reference.digest:
        return Reference(reference.registry, reference.path, DEFAULT_TAG, "")
    return reference


@lru_cache(64)  # templates and events name few images, and to parse one takes 50 us after a pause
def repository(image: str) -> str:
    """Registry, namespace and name of ``image``, without tag and digest; empty if ``image`` is malformed."""
    try:
        return parse(image).repository
    except ValueError:
        return ""


class ImagePolicy:
    """The images that events may name. This module's docstring describes ``patterns``. Any thread.

    Raises ``ValueError`` with a sentence about the first pattern that is invalid.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._parts = tuple(_pattern(text) for text in self.patterns)

    def told(self) -> list[str]:
        """Each pattern with the tags and digests that it allows: without a tag, it allows all of them."""
        return [
            f"{_as_read(text, pattern)} ({_which(pattern)})"
            for text, pattern in zip(self.patterns, self._parts, strict=True)
        ]

    def allows(self, reference: Reference) -> bool:
        """Whether some pattern matches it."""
        return any(_matches(pattern, reference) for pattern in self._parts)

    def problem(self, image: str) -> str | None:
        """Why ``image`` is refused: the words after its value in an error. ``None`` if it is allowed."""
        try:
            reference = parse(image)
        except ValueError as error:
            return f" ({error}); expected an image reference, such as busybox:latest"
        if self.allows(reference):
            return None
        allowed = ", ".join(map(_as_read, self.patterns, self._parts)) or "none"
        return f" (not allowed by the operator); expected an image that matches: {allowed}"


def _last(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2]


def _split(text: str) -> Reference:
    """Cut at the first ``@``, at the last segment's ``:``, and behind a first segment that is a host."""
    name, _, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    segments = (head + slash + last).split("/")
    registry = DEFAULT_REGISTRY
    first = segments[0]
    # Runtimes take the first segment for a host if it has a dot, a port or upper case, or is localhost.
    if len(segments) > 1 and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry = DEFAULT_REGISTRY if first == "index.docker.io" else first
        del segments[0]
    if registry == DEFAULT_REGISTRY and len(segments) == 1:
        segments.insert(0, DEFAULT_NAMESPACE)
    return Reference(registry, tuple(segments), tag, digest)


def _pattern(text: str) -> Reference:
    parts = _split(text)
    registry = parts.registry.removeprefix("*.")
    wrong = ""
    if not text.isascii() or len(text) > MAX_LENGTH or "**" in text:
        wrong = f"a pattern has at most {MAX_LENGTH} ASCII characters, and no **"
    elif not _HOST.fullmatch(registry) or (registry != parts.registry and "." not in registry):
        wrong = "the registry is a lowercase host, and * is allowed only at its start: *.example.com"
    elif not all(_PATTERN_SEGMENT.fullmatch(segment) for segment in parts.path):
        wrong = "the repository has lowercase letters, digits, . _ - and *, separated by single /"
    elif (parts.tag or ":" in _last(text)) and not _PATTERN_TAG.fullmatch(parts.tag):
        wrong = "the tag has letters, digits, _ . - and *"
    elif "@" in text and not _PATTERN_DIGEST.fullmatch(parts.digest):
        wrong = "the digest is sha256: and 64 hex digits, or *"
    if wrong:
        raise ValueError(f"{text[:80]!r} is not an image pattern: {wrong}")
    return parts


def _as_read(text: str, pattern: Reference) -> str:
    """A pattern with a star has its registry beside it: ``*`` alone allows only ``docker.io/library/*``."""
    if "*" not in text:
        return text
    tag, digest = pattern.tag and f":{pattern.tag}", pattern.digest and f"@{pattern.digest}"
    return f"{pattern.repository}{tag}{digest}"


def _which(pattern: Reference) -> str:
    if pattern.digest:
        return "by digest only"
    if not pattern.tag:
        return "every tag and digest"
    return "these tags, no digest" if "*" in pattern.tag else "this tag, no digest"


def _matches(pattern: Reference, image: Reference) -> bool:
    if len(pattern.path) != len(image.path):
        return False
    if not all(map(_glob, (pattern.registry, *pattern.path), (image.registry, *image.path))):
        return False
    if not pattern.tag and not pattern.digest:
        return True
    if bool(pattern.digest) != bool(image.digest):
        return False
    if pattern.tag and not (image.tag and _glob(pattern.tag, image.tag)):
        return False
    return not pattern.digest or _glob(pattern.digest, image.digest)


def _glob(pattern: str, text: str) -> bool:
    """Whether ``text`` matches ``pattern``. A regular expression with many stars could take hours; this does
    not."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    end = len(text) - len(last)
    at = len(first)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
