"""The kinds of values that settings take: how each is parsed, and the words that describe what is expected.

A kind's ``parse`` gets the text without surrounding blanks, and never an empty text. It raises
``ValueError``. The error's text may be empty, or a clause such as "no host" that says what is wrong with the
value. It must not repeat a secret.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ottoscaler.config import redis_url

LONGEST_WORD = 200  # characters of a name or a key

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?\.?")
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://\S+:([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class ValueKind:
    """How a text becomes a value, and the words that follow "expected"."""

    parse: Callable[[str], Any]
    expected: str


def whole(low: int, high: int) -> ValueKind:
    """An integer, both bounds included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return ValueKind(parse, f"an integer from {low} to {high}")


def decimal(low: float, high: float, unit: str = "") -> ValueKind:
    """A number that may have a decimal part, both bounds included."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", text) or not low <= float(text) <= high:
            raise ValueError
        return float(text)

    return ValueKind(parse, f"a number{unit} from {low:g} to {high:.10g}")


def seconds(low: float, high: float) -> ValueKind:
    return decimal(low, high, " of seconds")


def whole_seconds(low: int, high: int) -> ValueKind:
    """Whole seconds, the unit that events use. A decimal part is rounded up."""
    kind = decimal(low, high, " of seconds")
    return ValueKind(
        lambda text: math.ceil(kind.parse(text)), f"{kind.expected} (rounded up to whole seconds)"
    )


def port(low: int) -> ValueKind:
    """A port, or the ``tcp://10.96.0.5:6379`` that the kubelet injects for a Service of that name."""
    kind = whole(low, 65535)

    def parse(text: str) -> int:
        return int(kind.parse(service_link_port(text) or text))

    return ValueKind(parse, kind.expected)


def service_link_port(text: str) -> str:
    """The port in a value that the kubelet injected for a Service, empty for any other text."""
    found = _SERVICE_LINK.fullmatch(text)
    return found[1] if found else ""


def word(expected: str) -> ValueKind:
    """Printable text without blanks, of at most ``LONGEST_WORD`` characters."""

    def parse(text: str) -> str:
        if len(text) > LONGEST_WORD or not text.isprintable() or any(map(str.isspace, text)):
            raise ValueError
        return text

    return ValueKind(parse, f"{expected} of up to {LONGEST_WORD} printable characters without spaces")


def choice(*values: str, **aliases: str) -> ValueKind:
    """One of the given words, in upper or lower case, or another name for one of them."""
    by_fold = {value.casefold(): value for value in values}
    by_fold |= {alias.casefold(): value for alias, value in aliases.items()}

    def parse(text: str) -> str:
        if text.casefold() not in by_fold:
            raise ValueError
        return by_fold[text.casefold()]

    others = {value: f" (or {alias})" for alias, value in aliases.items()}
    return ValueKind(parse, f"one of {', '.join(value + others.get(value, '') for value in values)}")


_TRUTH = choice("true", "false")


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not _HOST.fullmatch(text):
            raise ValueError from None
    return text


def _dns_label(text: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError
    return text


def _sentinels(text: str) -> tuple[tuple[str, int], ...]:
    found = []
    for item in filter(None, map(str.strip, text.split(","))):
        host, colon, number = item.rpartition(":")
        if not colon:
            raise ValueError("an address without a port")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 address without brackets")
        try:
            found.append((_host(host), int(whole(1, 65535).parse(number))))
        except ValueError:
            raise ValueError("an address that is not host:port") from None
    if not found:
        raise ValueError("no address")
    return tuple(found)


def _mode(path: str) -> int:
    """The mode of what is at the path, 0 for nothing. Raises ValueError if that cannot be seen."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:  # a directory on the way is closed to us, or a name in it is too long
        raise ValueError((error.strerror or type(error).__name__).lower()) from None


def readable_file(text: str) -> str:
    """The same path, if it leads to a regular file that may be read. Any thread; it opens nothing.

    So it does not wait either, as opening a named pipe does. Raises ValueError with a clause."""
    mode = _mode(text)
    if not stat.S_ISREG(mode):
        raise ValueError("not a file" if mode else "no such file")
    if not os.access(text, os.R_OK):
        raise ValueError("permission denied")
    return text


def _kubeconfig(text: str) -> str:
    # Unlike Path.expanduser, it leaves the home of an unknown user as it stands: such a file does not exist.
    paths = [os.path.expanduser(path) for path in text.split(os.pathsep) if path]
    found = [path for path in paths if stat.S_ISREG(_mode(path))]
    if not found:
        raise ValueError("no such file")
    for path in found:
        readable_file(path)
    return os.pathsep.join(paths)


def _directory(text: str) -> str:
    mode = _mode(text)
    if not stat.S_ISDIR(mode):
        raise ValueError("not a directory" if mode else "no such directory")
    if not os.access(text, os.R_OK | os.X_OK):
        raise ValueError("permission denied")
    return text


def _quantity(text: str) -> str:
    from ottoscaler.events.quantities import parse  # imported late: most users of the settings never need it

    try:
        value = parse(text)
    except ValueError:
        raise ValueError from None  # its words are for events; the expected value says as much
    if value <= 0:
        raise ValueError("not above zero")
    return text


def _image(text: str) -> str:
    from ottoscaler.events.images import parse  # late, as above

    if "*" in text:
        raise ValueError("a pattern, but a worker needs one image")
    try:
        parse(text)
    except ValueError as error:
        raise ValueError(str(error)) from None
    return text


def _image_patterns(text: str) -> tuple[str, ...]:
    from ottoscaler.events.images import ImagePolicy  # late, as above

    patterns = tuple(item.strip() for item in text.split(",") if item.strip())
    if not patterns:
        raise ValueError("no image")
    ImagePolicy(patterns)
    return patterns


TEXT = ValueKind(redis_url.utf8, "any text")
FLAG = ValueKind(lambda text: _TRUTH.parse(text) == "true", _TRUTH.expected)
HOST = ValueKind(_host, "a host name or an IP address")
DNS_LABEL = ValueKind(_dns_label, "a DNS label: up to 63 of a-z, 0-9 and '-', without '-' at either end")
REDIS_URL = ValueKind(
    redis_url.check,
    "a URL such as redis://host:6379/0, rediss://user:password@host:6379 or unix:///path?db=0",
)
SENTINELS = ValueKind(_sentinels, "a comma-separated list of host:port")
FILE = ValueKind(readable_file, "a readable file")
KUBECONFIG = ValueKind(_kubeconfig, "a readable kubeconfig file, or several separated by ':'")
DIRECTORY = ValueKind(_directory, "a readable directory")
QUANTITY = ValueKind(_quantity, "a Kubernetes quantity above zero, such as 500m, 8 or 32Gi")
IMAGE = ValueKind(_image, "an image reference, such as busybox:latest")
IMAGE_PATTERNS = ValueKind(
    _image_patterns, "a comma-separated list of image references, in which '*' does not match '/'"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """A line of the settings table, without its name. ``worked_out``: ``shown_default`` is words, not a
    value."""

    kind: ValueKind
    meaning: str
    shown_default: str
    worked_out: bool
    secret: bool


def setting(
    kind: ValueKind,
    default: Any,
    meaning: str,
    *,
    shown_default: str | None = None,
    secret: bool = False,
) -> Any:
    """A field of ``Settings``: its kind, its default (a value or a function that finds it), its meaning."""
    shown = shown_default if shown_default is not None else show(default)
    metadata = {"spec": Spec(kind, meaning, shown, shown_default is not None, secret)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def show(value: Any) -> str:
    """A setting's value as it would stand in the environment."""
    if isinstance(value, tuple):
        return ",".join(_address(*item) if isinstance(item, tuple) else str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
