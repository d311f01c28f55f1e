"""What the API server's refusals mean: one place from a status and its words to one of our errors."""

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
    UnusableAnswer,
    VersionExpired,
)
from ottoscaler.model import JsonObject

LONGEST_RETRY_AFTER = 60.0  # seconds, whatever the server says
NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


def error_of(verb: str, code: int, data: bytes, after: float) -> KubernetesError:
    """The error for an answer that is no success. ``after`` is its Retry-After, in seconds."""
    status = _status(data)
    text, reason = _words(code, status)
    text = f"{verb}: {text}"
    if code in (401, 429):
        return KubernetesUnavailable(text, status=code, reason=reason, retry_after=after, unsent=True)
    if status is None:  # a proxy's page says neither that a Pod is gone nor that it is refused
        return UnusableAnswer(text, status=code, retry_after=after)
    if code >= 500:
        return KubernetesUnavailable(text, status=code, reason=reason, retry_after=after)
    if verb == "create":
        return _refused_create(text, code, reason)
    if code == 403:  # the first seconds of a restarted API server, or an operator's matter: it may pass
        return KubernetesUnavailable(text, status=code, reason=reason)
    kind = {404: PodGone, 409: PodExists, 410: VersionExpired}.get(code, KubernetesError)
    return kind(text, status=code, reason=reason)


def _refused_create(text: str, code: int, reason: str) -> KubernetesError:
    if code == 409 and reason == "AlreadyExists":
        return PodExists(text, status=code, reason=reason)
    if code == 403 and "exceeded quota" in text:
        return QuotaExceeded(text, status=code, reason=reason)
    # A Conflict is a race inside the server (such as a quota's update), not our name. The namespace is
    # missing, or RBAC says no: as above.
    if code in (404, 409) or "cannot create resource" in text:
        return KubernetesUnavailable(text, status=code, reason=reason, unsent=True)
    return Refused(text, status=code, reason=reason)


def _status(data: bytes) -> JsonObject | None:
    """The Kubernetes Status that a refusal of the API server's own always is."""
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) and status.get("kind") == "Status" else None


def _words(code: int, status: JsonObject | None) -> tuple[str, str]:
    if status is None:
        return f"HTTP status {code}, and not by the API server: a proxy's answer?", ""
    return str(status.get("message") or code), str(status.get("reason") or "")


def watch_error(status: JsonObject) -> KubernetesError:
    """The error that an ERROR event carries."""
    code, text = status.get("code"), f"watch: {status.get('message')}"
    code = code if isinstance(code, int) else 0
    kind = VersionExpired if code == 410 else KubernetesUnavailable
    return kind(text, status=code, reason=str(status.get("reason") or ""))


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks us to wait, within bounds."""
    try:
        return min(max(0.0, float(headers.get("retry-after", 0))), LONGEST_RETRY_AFTER)
    except ValueError:
        return 0.0


def plain(error: BaseException) -> str:
    """A network error in a few words; urllib3 names its objects' addresses."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, Exception) else error) or type(error).__name__
    return re.sub(r"<[^>]*>(: )?|\(?HTTPS?ConnectionPool\([^)]*\):? ?", "", text).strip()
