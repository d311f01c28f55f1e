"""The API server's refusals: ``Status`` objects, in the words that clients know.

Words and structure follow kube-apiserver 1.20.2, as ``tests/conformance`` observes it. The words are part of
the interface, because clients such as Ottoscaler tell a quota from a policy by the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ottoscaler.errors import OttoscalerError
from ottoscaler.model import JsonObject


class ApiError(OttoscalerError):
    """A request is answered with a ``Status``, or with its message alone if ``plain``. ``retry_after`` is in
    whole seconds, 0 for none."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JsonObject | None = None,
        retry_after: int = 0,
        *,
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.plain = plain
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after = details, retry_after

    @property
    def status(self) -> JsonObject:
        """The ``Status`` object as it is sent."""
        status: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        details = dict(self.details) if self.details is not None else None
        if self.retry_after:
            details = {**(details or {}), "retryAfterSeconds": self.retry_after}
        if details is not None:
            status["details"] = details
        status["code"] = self.code
        return status


@dataclass(frozen=True, slots=True)
class Cause:
    """One wrong field: Kubernetes' word for the kind of error, a sentence, and the field's path."""

    reason: str
    message: str
    field: str


def required(field: str, why: str = "") -> Cause:
    return Cause("FieldValueRequired", "Required value" + (f": {why}" if why else ""), field)


def invalid_value(field: str, value: object, why: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)


def unsupported(field: str, value: object, allowed: Sequence[str]) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    words = ", ".join(f'"{word}"' for word in allowed)
    return Cause("FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {words}", field)


def duplicate(field: str, value: str) -> Cause:
    return Cause("FieldValueDuplicate", f'Duplicate value: "{value}"', field)


def not_found(resource: str, name: str, group: str = "") -> ApiError:
    full = f"{resource}.{group}" if group else resource
    details = {"name": name, **({"group": group} if group else {}), "kind": resource}
    return ApiError(404, "NotFound", f'{full} "{name}" not found', details)


def already_exists(resource: str, name: str) -> ApiError:
    return ApiError(
        409, "AlreadyExists", f'{resource} "{name}" already exists', {"name": name, "kind": resource}
    )


def conflict(kind: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {kind} "{name}": {why}'
    return ApiError(409, "Conflict", message, {"name": name, "kind": kind})


def modified(resource: str, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def forbidden(resource: str, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiError:
    details: JsonObject = {"name": name, "kind": resource}
    if causes:
        details["causes"] = [_cause(cause) for cause in causes]
    return ApiError(403, "Forbidden", f'{resource} "{name}" is forbidden: {why}', details)


def invalid(kind: str, name: str, causes: Sequence[Cause], group: str = "") -> ApiError:
    """422, which names every wrong field."""
    sentences = [f"{cause.field}: {cause.message}" for cause in causes]
    text = sentences[0] if len(sentences) == 1 else "[" + ", ".join(sentences) + "]"
    details: JsonObject = {"name": name} if name else {}
    if group:
        details["group"] = group
    details |= {"kind": kind, "causes": [_cause(cause) for cause in causes]}
    return ApiError(
        422, "Invalid", f'{kind}{"." if group else ""}{group} "{name}" is invalid: {text}', details
    )


def _cause(cause: Cause) -> JsonObject:
    return {"reason": cause.reason, "message": cause.message, "field": cause.field}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    """410: the client's version is older than the kept history."""
    return ApiError(410, "Expired", message)


def too_old(asked: int, oldest: int) -> ApiError:
    return expired(f"too old resource version: {asked} ({oldest})")


def not_here(what: str) -> ApiError:
    """405 for what a real cluster has and this one does not. ``what`` is a whole sentence."""
    return ApiError(405, "MethodNotAllowed", what, {})


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def media_type(accepted: Sequence[str]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(
        accepted
    )
    return ApiError(415, "UnsupportedMediaType", message)


def too_many_requests(retry_after: int) -> ApiError:
    message = "Too many requests, please try again later."
    return ApiError(429, "TooManyRequests", message, {}, retry_after=retry_after, plain=True)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def internal_error(why: str) -> ApiError:
    message = f"Internal error occurred: {why}"
    return ApiError(500, "InternalError", message, {"causes": [{"message": why}]})
