"""Translates the API server's refusals, by status and text, into our errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import urllib3

from ottoscaler.errors import (
    KubernetesError,
    KubernetesUnavailable,
    PodExists,
    PodGone,
    QuotaExceeded,
    Refused,
    RefusedForNow,
    UnusableAnswer,
    VersionExpired,
)
from ottoscaler.model import JsonObject
from ottoscaler.pods.refusal_table import Means, is_internal, is_policy, refusal

LONGEST_RETRY_AFTER = 60.0  # seconds, whatever the server says
_OF_ONE_POD = ("get", "delete", "patch")
# What reading an answer may raise. urllib3 hands on the last two if a chunk's size is negative or enormous.
BROKEN_ANSWER = (urllib3.exceptions.HTTPError, OSError, ValueError, OverflowError)
NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


def error_of(verb: str, code: int, data: bytes, after: float) -> KubernetesError:
    """The error for an answer that is not a success. ``after`` is its Retry-After in seconds."""
    status = _status(data)
    text, reason = _words(code, status)
    text = f"{verb}: {text}"
    turned_away = code in (401, 429)
    if status is None and not turned_away:  # a proxy's page cannot tell that a Pod is gone or refused
        return UnusableAnswer(text, status=code, retry_after=after)
    if verb == "create":
        return _refused_create(text, code, reason, after)
    # A 403 may pass: a restarted API server sends it in its first seconds, and an operator may grant the
    # right. A Conflict that names no precondition is a race inside the server. A webhook may deny a delete
    # with any status, and a proxy may say 404 of its cluster.
    raced = code == 409 and "precondition" not in text.lower()
    astray = code == 404 and verb in _OF_ONE_POD and 'pods "' not in text
    if turned_away or code >= 500 or code == 403 or raced or astray or is_internal(text) or is_policy(text):
        return KubernetesUnavailable(text, status=code, retry_after=after, unsent=turned_away)
    kind = {404: PodGone, 409: PodExists, 410: VersionExpired}.get(code, KubernetesError)
    return kind(text, status=code)


def _refused_create(text: str, code: int, reason: str, after: float) -> KubernetesError:
    means = refusal(code, reason, text).means
    if means in (Means.EXISTS, Means.NEVER):
        kind = PodExists if means is Means.EXISTS else Refused
        return kind(text, status=code)
    if means is Means.TROUBLE:
        unsent = code in (401, 429)
        return KubernetesUnavailable(text, status=code, retry_after=after, unsent=unsent)
    again = QuotaExceeded if means is Means.NO_ROOM else RefusedForNow
    return again(text, status=code, retry_after=after, unsent=code < 500)


def _status(data: bytes) -> JsonObject | None:
    """The Kubernetes Status in an answer. ``None`` if there is none: then the API server did not write it."""
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) and status.get("kind") == "Status" else None


def _words(code: int, status: JsonObject | None) -> tuple[str, str]:
    if status is None and code == 429:  # the API server's own words too: plain text
        return "HTTP status 429: too many requests", ""
    if status is None:
        return f"HTTP status {code}, and not by the API server: a proxy's answer?", ""
    return str(status.get("message") or code), str(status.get("reason") or "")


def watch_error(status: JsonObject) -> KubernetesError:
    """The error that an ERROR event carries."""
    code = status.get("code")
    code = code if isinstance(code, int) else 0
    told = status.get("message") or status.get("reason") or code or "an ERROR event that says nothing"
    kind = VersionExpired if code == 410 else KubernetesUnavailable
    return kind(f"watch: {told}", status=code)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks us to wait, within bounds."""
    try:
        return min(max(0.0, float(headers.get("retry-after", 0))), LONGEST_RETRY_AFTER)
    except ValueError:
        return 0.0


def plain(error: BaseException) -> str:
    """A network error in a few words, without the memory addresses that urllib3's texts contain."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, Exception) else error) or type(error).__name__
    return re.sub(r"<[^>]*>(: )?|\(?HTTPS?ConnectionPool\([^)]*\):? ?", "", text).strip()
