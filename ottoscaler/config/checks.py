"""Checks across settings, and warnings about values that are accepted but probably a mistake.

A setting that is valid by itself must not be refused because of another setting's default, which its operator
never chose. So a combination is refused only if it cannot work or has no meaning.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ottoscaler.config.kinds import service_link_port
from ottoscaler.config.redis_url import mask, mask_address, secrets

if TYPE_CHECKING:
    from ottoscaler.config.settings import Settings

# Characters of an instance that a Pod's name of 63 holds beside an event id of 13 and 4 digits, an index of 4
# and an attempt of 2.
WHOLE_INSTANCE = 25

Check = Callable[["Settings"], str]  # returns the problem's sentence, or an empty text

# A worker's environment (docs/templates.md): Ottoscaler may be tried out inside one of its own workers.
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
            "REDIS_SENTINEL_MASTER: not set although REDIS_SENTINELS is; expected the name of the master "
            "that the Sentinels monitor."
        )
    return ""


def _certificate_needs_its_key(settings: Settings) -> str:
    cert, key = settings.redis_tls_cert_file, settings.redis_tls_key_file
    if cert and not key:
        return (
            f"REDIS_TLS_KEY_FILE: not set although REDIS_TLS_CERT_FILE is {cert!r}; expected the file with "
            "that certificate's key."
        )
    if key and not cert:
        return (
            f"REDIS_TLS_CERT_FILE: not set although REDIS_TLS_KEY_FILE is {key!r}; expected the file with "
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
    if named and not settings.redis_tls:  # the files alone turn TLS on, but not beside a URL
        return (
            f"REDIS_URL: invalid value {mask(settings.redis_url)!r} (not encrypted although {named[0]}); "
            "expected a URL that begins with rediss://."
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
            return f"{' and '.join(same)}: both are {value!r}; expected a different name for each."
    return ""


def _streams_are_outside_the_ledger(settings: Settings) -> str:
    prefix = f"{settings.redis_stream}:{settings.redis_consumer_group}:"
    for name, value in (
        ("REDIS_RESULTS_STREAM", settings.redis_results_stream),
        ("REDIS_DEAD_STREAM", settings.redis_dead_stream),
    ):
        if value.startswith(prefix):
            return (
                f"{name}: invalid value {value!r} (one of the ledger's keys); expected a name that does not "
                f"begin with {prefix!r} (REDIS_STREAM and REDIS_CONSUMER_GROUP)."
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
"""Each check with the attributes it reads. It is skipped if one of them has an invalid value."""


def value_warnings(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings about values that are accepted but probably a mistake. They contain no secret."""
    found = []
    has_url = bool(environ.get("REDIS_URL", "").strip())
    for name in ("REDIS_PORT", "OTTO_HTTP_PORT"):
        value = environ.get(name, "").strip()
        number = service_link_port(value)
        if number and not (has_url and name == "REDIS_PORT"):
            found.append(
                f"{name}: {mask_address(value)!r} is what the kubelet injects for a Service of that name; "
                f"port {number} is used. Set enableServiceLinks: false on the pod, or set {name} to a port."
            )
    for name in _SINGLE_PARTS:
        value = environ.get(name, "")
        if has_url and value and not service_link_port(value):
            found.append(f"{name}: ignored because REDIS_URL is set.")
    if len(instance := environ.get("OTTO_INSTANCE", "").strip()) > WHOLE_INSTANCE:
        found.append(
            f"OTTO_INSTANCE: Pods' names hold only the beginning of {instance!r}, at times no more than "
            f"{instance[:WHOLE_INSTANCE]!r}; no other instance in this namespace may begin alike."
        )
    if environ.get("REDIS_PASSWORD_FILE", "").strip():
        if environ.get("REDIS_PASSWORD") and not has_url:
            found.append("REDIS_PASSWORD: ignored because REDIS_PASSWORD_FILE is set.")
        if secrets(environ.get("REDIS_URL", "").strip()):
            found.append("REDIS_URL: its password is ignored because REDIS_PASSWORD_FILE is set.")
    if (
        environ.get("REDIS_SENTINEL_MASTER")
        and not has_url
        and not environ.get("REDIS_SENTINELS", "").strip()
    ):
        found.append("REDIS_SENTINEL_MASTER: ignored because REDIS_SENTINELS is not set.")
    return tuple(found)


def unknown_names(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A warning for every ``OTTO_`` variable that is not ``known``, with the closest known name."""
    known = set(known)
    found = []
    for name in sorted(environ):
        if not name.startswith("OTTO_") or name in known or name in WORKER_VARIABLES:
            continue
        if _SERVICE_LINK_NAME.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        meant = f"; did you mean {near[0]}?" if near else "."
        found.append(f"{name}: ignored, because it is not a setting of Ottoscaler{meant}")
    return found
