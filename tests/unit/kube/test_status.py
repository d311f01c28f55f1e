"""From an answer that is no success to one of our errors, for whatever was asked."""

from __future__ import annotations

import json

import pytest

from ottoscaler.errors import (
    KubernetesError,
    KubernetesUnavailable,
    PodExists,
    PodGone,
    QuotaExceeded,
    Refused,
    RefusedForNow,
    UnusableAnswer,
)
from ottoscaler.kube.status import error_of

DENIED = 'admission webhook "guard.example" denied the request:'


def answer(verb: str, code: int, message: str, reason: str = "") -> KubernetesError:
    status = {"kind": "Status", "message": message, "reason": reason}
    return error_of(verb, code, json.dumps(status).encode(), 0.0)


@pytest.mark.parametrize("verb", ["create", "get", "delete", "list"])
@pytest.mark.parametrize("code", [400, 403, 404, 409, 500])
def test_internal_error_says_nothing_about_a_pod_whatever_its_status(verb: str, code: int) -> None:
    error = answer(verb, code, "rpc error: code = Unavailable desc = etcdserver: no leader")
    assert type(error) is KubernetesUnavailable
    assert not error.unsent


def test_pod_is_gone_by_its_own_absence_or_another_in_its_place_and_not_by_a_race() -> None:
    assert isinstance(answer("get", 404, 'pods "x" not found'), PodGone)
    other = 'Operation cannot be fulfilled on pods "x": Precondition failed: UID in precondition: a'
    assert isinstance(answer("delete", 409, other), PodExists)
    race = 'Operation cannot be fulfilled on pods "x": the object has been modified'
    assert type(answer("delete", 409, race)) is KubernetesUnavailable


@pytest.mark.parametrize("verb", ["get", "delete", "patch"])
@pytest.mark.parametrize(
    ("code", "message"),
    [(404, 'clusters "prod" not found'), (404, "the server could not find the requested resource")]
    + [(code, f'{DENIED} pods "x" not found; a precondition failed') for code in (400, 403, 404, 409, 422)],
)
def test_no_pod_is_gone_because_a_proxy_or_a_webhook_says_404_of_something_else(
    verb: str, code: int, message: str
) -> None:
    assert type(answer(verb, code, message, "NotFound")) is KubernetesUnavailable


def test_refused_create_is_refused_for_good_or_for_now() -> None:
    assert isinstance(answer("create", 422, "Pod is invalid", "Invalid"), Refused)
    assert type(answer("create", 404, 'namespaces "x" not found', "NotFound")) is RefusedForNow
    assert isinstance(answer("create", 403, "exceeded quota: q"), QuotaExceeded)
    assert isinstance(answer("create", 409, "already exists", "AlreadyExists"), PodExists)


def test_proxy_s_page_is_no_verdict() -> None:
    assert isinstance(error_of("create", 403, b"<html>", 0.0), UnusableAnswer)
    assert type(error_of("create", 429, b"<html>", 0.0)) is KubernetesUnavailable


@pytest.mark.parametrize("verb", ["create", "delete", "list", "watch"])
def test_429_that_the_api_server_writes_as_plain_text_is_not_called_a_proxy_s(verb: str) -> None:
    """So priority and fairness refuses on a real API server, and only there is a way to mend it."""
    error = error_of(verb, 429, b"Too many requests, please try again later.\n", 1.0)
    assert str(error) == f"{verb}: HTTP status 429: too many requests"
    assert isinstance(error, KubernetesUnavailable)
    assert error.retry_after == 1.0
