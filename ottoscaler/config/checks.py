"""What single values cannot show: how settings fit each other, and which were hardly meant so.

A setting that is legal by itself must not be refused for another's default, which its operator never chose:
what is checked here cannot work, or has no meaning, whatever was meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ottoscaler.config.kinds import service_link_port
from ottoscaler.config.redis_url import mask, mask_address

if TYPE_CHECKING:
    from ottoscaler.config.settings import Settings

Check = Callable[["Settings"], str]  # gives the problem's sentence, or an empty text

# A worker's environment (DESIGN.md 3.4): Ottoscaler may be tried out inside one of its own workers.
WORKER_VARIABLES = frozenset(
    f"OTTO_{name}" for name in ("EVENT_ID", "TASK_ID", "WORKER_INDEX", "WORKER_COUNT", "ATTEMPT", "METADATA")
)

# What the kubelet injects for a Service called otto or otto-something.
_SERVICE_LINK_NAME = re.compile(
    r"OTTO_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)

_SINGLE_PARTS = (
    "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_SENTINELS",
    "REDIS_SENTINEL_MASTER",
)  # fmt: skip


def _sentinels_need_a_master(settings: Settings) -> str:
    if settings.redis_sentinels and not settings.redis_sentinel_master and not settings.redis_url:
        return (
            "REDIS_SENTINEL_MASTER is not set, but REDIS_SENTINELS is; accepted is the name under which the "
            "Sentinels know the master."
        )
    return ""


def _certificate_needs_its_key(settings: Settings) -> str:
    cert, key = settings.redis_tls_cert_file, settings.redis_tls_key_file
    if cert and not key:
        return (
            f"REDIS_TLS_KEY_FILE is not set, but REDIS_TLS_CERT_FILE is {cert!r}; accepted is the file of "
            "that certificate's key."
        )
    if key and not cert:
        return (
            f"REDIS_TLS_CERT_FILE is not set, but REDIS_TLS_KEY_FILE is {key!r}; accepted is the file of "
            "that key's certificate."
        )
    return ""


def _tls_files_need_a_tls_url(settings: Settings) -> str:
    files = {
        "REDIS_TLS_CA_FILE": settings.redis_tls_ca_file,
        "REDIS_TLS_CERT_FILE": settings.redis_tls_cert_file,
        "REDIS_TLS_KEY_FILE": settings.redis_tls_key_file,
    }
    named = [f"{name} is {path!r}" for name, path in files.items() if path]
    if named and settings.redis_url and not settings.redis_tls:
        return (
            f"REDIS_URL is {mask(settings.redis_url)!r}, which is not encrypted, but {named[0]}; accepted "
            "beside it is a URL that begins with rediss://."
        )
    return ""


def _streams_are_distinct(settings: Settings) -> str:
    streams = {
        "REDIS_STREAM": settings.redis_stream,
        "REDIS_RESULTS_STREAM": settings.redis_results_stream,
        "REDIS_DEAD_STREAM": settings.redis_dead_stream,
    }
    for value in streams.values():
        same = [name for name in streams if streams[name] == value]
        if len(same) > 1:
            return f"{' and '.join(same)} have one name, {value!r}; accepted is a name of its own for each."
    return ""


def _streams_are_outside_the_ledger(settings: Settings) -> str:
    prefix = f"{settings.redis_stream}:{settings.redis_consumer_group}:"
    for name, value in (
        ("REDIS_RESULTS_STREAM", settings.redis_results_stream),
        ("REDIS_DEAD_STREAM", settings.redis_dead_stream),
    ):
        if value.startswith(prefix):
            return (
                f"{name} is {value!r}, which is among the ledger's keys; accepted with this REDIS_STREAM and "
                f"REDIS_CONSUMER_GROUP is a name that does not begin with {prefix!r}."
            )
    return ""


CHECKS: tuple[tuple[frozenset[str], Check], ...] = (
    (frozenset({"redis_url", "redis_sentinels", "redis_sentinel_master"}), _sentinels_need_a_master),
    (frozenset({"redis_tls_cert_file", "redis_tls_key_file"}), _certificate_needs_its_key),
    (
        frozenset({"redis_url", "redis_tls_ca_file", "redis_tls_cert_file", "redis_tls_key_file"}),
        _tls_files_need_a_tls_url,
    ),
    (frozenset({"redis_stream", "redis_results_stream", "redis_dead_stream"}), _streams_are_distinct),
    (
        frozenset({"redis_stream", "redis_results_stream", "redis_dead_stream", "redis_consumer_group"}),
        _streams_are_outside_the_ledger,
    ),
)
"""Each check with the attributes it looks at: it is left out where one of these could not be read."""


def value_warnings(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Sentences about values that are taken, but hardly meant so. They hold no secret."""
    found = []
    has_url = bool(environ.get("REDIS_URL", "").strip())
    for name in ("REDIS_PORT", "OTTO_HTTP_PORT"):
        value = environ.get(name, "").strip()
        number = service_link_port(value)
        if number and not (has_url and name == "REDIS_PORT"):
            found.append(
                f"{name} is {mask_address(value)!r}, which the kubelet injects for a Service of that name. "
                f"It is read as port {number}. Set enableServiceLinks: false on the pod, or {name} to a port."
            )
    for name in _SINGLE_PARTS:
        value = environ.get(name, "")
        if has_url and value and not service_link_port(value):
            found.append(f"{name} is set, but not used: REDIS_URL wins over the single parts.")
    if (
        environ.get("REDIS_SENTINEL_MASTER")
        and not has_url
        and not environ.get("REDIS_SENTINELS", "").strip()
    ):
        found.append("REDIS_SENTINEL_MASTER is set, but not used: REDIS_SENTINELS is not set.")
    return tuple(found)


def unknown_names(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A warning for every ``OTTO_`` variable that is not ``known``, with the nearest name that is."""
    known = set(known)
    found = []
    for name in sorted(environ):
        if not name.startswith("OTTO_") or name in known or name in WORKER_VARIABLES:
            continue
        if _SERVICE_LINK_NAME.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        meant = f"; perhaps {near[0]} is meant" if near else ""
        found.append(f"{name} is not a setting of Ottoscaler and has no effect{meant}.")
    return found
