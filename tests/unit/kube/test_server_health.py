"""Whether the API server as a whole is in trouble: what counts, when it begins and when it ends."""

from __future__ import annotations

import pytest

from ottoscaler.kube.server_health import (
    FORGET_SECONDS,
    MOST_SPANS,
    UNNOTICED_SECONDS,
    ServerHealth,
    ServerSign,
    sign_of,
)
from ottoscaler.pods.refusal_table import is_internal, is_policy
from tests.harness.clock import Clock

WEBHOOK = (
    'Internal error occurred: failed calling webhook "a.b.c": Post "https://a": context deadline exceeded'
)


@pytest.mark.parametrize(
    ("verb", "status", "text", "sign"),
    [
        ("create", 500, "etcdserver: no leader", ServerSign.TROUBLED),
        (
            "create",
            403,
            "forbidden: rpc error: code = Unavailable desc = closing",
            ServerSign.TROUBLED,
        ),
        ("create", 503, "the server is currently unable to handle the request", ServerSign.TROUBLED),
        ("create", 500, WEBHOOK, ServerSign.NOTHING),
        ("create", 503, 'admission webhook "a.b.c" denied the request: not now', ServerSign.NOTHING),
        ("create", 401, 'admission webhook "a.b.c" denied the request: who?', ServerSign.NOTHING),
        ("create", 401, "Unauthorized", ServerSign.TROUBLED),
        ("create", 0, "no answer within 60 s", ServerSign.NOTHING),
        ("create", 504, "Timeout: request did not complete within requested timeout", ServerSign.NOTHING),
        ("create", 403, "exceeded quota: small", ServerSign.NOTHING),
        (
            "patch",
            0,
            "no answer within 12 s",
            ServerSign.NOTHING,
        ),  # a webhook may hang
        ("get", 0, "no answer within 12 s", ServerSign.TROUBLED),
        ("get", 404, 'pods "a" not found', ServerSign.WELL),
        ("delete", 409, "the UID in the precondition does not match", ServerSign.WELL),
        ("create", 422, "spec.containers: Invalid value", ServerSign.NOTHING),  # the Pod's own fault
        ("get", 403, 'pods "a" is forbidden', ServerSign.NOTHING),  # the Role's
        ("get", 500, "unknown", ServerSign.TROUBLED),
        ("get", 504, "Timeout: request did not complete within requested timeout", ServerSign.TROUBLED),
    ],
)
def test_what_one_answer_tells_of_the_server(verb: str, status: int, text: str, sign: ServerSign) -> None:
    assert sign_of(verb, status, text) is sign


@pytest.mark.parametrize("verb", ["create", "get"])
def test_call_that_found_no_connection_tells_that_the_server_cannot_be_reached(verb: str) -> None:
    assert sign_of(verb, 0, "connection refused", unsent=True) is ServerSign.UNREACHED


def test_a_webhooks_words_are_never_the_servers() -> None:
    assert is_policy(WEBHOOK)
    assert not is_internal(WEBHOOK)
    assert is_internal("rpc error: code = Unavailable desc = etcdserver: leader changed")


def test_one_refused_connection_counts_at_once_and_the_next_connection_ends_it() -> None:
    clock = Clock(100.0)
    health = ServerHealth(clock)
    health.note("create", ServerSign.UNREACHED)
    assert health.trouble_since() == 100.0
    clock.now += 5
    health.note("list", ServerSign.WELL)
    assert health.healthy


def test_one_troubled_answer_is_a_single_connections_and_two_are_the_servers() -> None:
    clock = Clock(100.0)
    health = ServerHealth(clock)
    health.note("create", ServerSign.TROUBLED)
    assert health.healthy
    clock.now += 1
    health.note("create", ServerSign.TROUBLED)
    assert health.trouble_since() == 100.0


def test_list_from_the_cache_does_not_end_the_trouble_of_writes() -> None:
    health = ServerHealth(Clock(100.0))
    for _ in range(2):
        health.note("create", ServerSign.TROUBLED)
    health.note("list", ServerSign.WELL)
    assert not health.healthy
    health.note("create", ServerSign.WELL)
    assert health.healthy


def test_workers_own_trouble_is_not_the_servers() -> None:
    health = ServerHealth(Clock(100.0))
    for _ in range(100):
        health.note("create", ServerSign.NOTHING)
    assert health.healthy


def test_trouble_that_nothing_confirms_is_forgotten() -> None:
    clock = Clock(100.0)
    health = ServerHealth(clock)
    for _ in range(2):
        health.note("create", ServerSign.TROUBLED)
    clock.now += FORGET_SECONDS + 1
    assert health.healthy


def test_trouble_that_goes_on_has_begun_when_it_began() -> None:
    clock = Clock(100.0)
    health = ServerHealth(clock)
    for _ in range(4):
        health.note("create", ServerSign.TROUBLED)
        clock.now += FORGET_SECONDS - 1
    assert health.trouble_since() == 100.0


def test_trouble_that_calls_of_another_kind_go_on_with_has_begun_when_it_began() -> None:
    clock = Clock(100.0)
    health = ServerHealth(clock)
    for kind in ("list", "create"):
        for _ in range(2):
            health.note(kind, ServerSign.TROUBLED)
        clock.now += 5
    health.note("list", ServerSign.WELL)
    assert health.trouble_since() == 100.0
    assert health.troubled_seconds(since=0.0) == 10


def test_the_time_of_all_trouble_is_summed_and_what_nothing_confirms_ends_by_itself() -> None:
    clock = Clock(100.0)
    health = ServerHealth(clock)
    assert health.troubled_seconds(since=0.0) == 0
    for kind in ("list", "list"):
        health.note(kind, ServerSign.TROUBLED)
        clock.now += 10
    assert health.troubled_seconds(since=0.0) == 20
    health.note("list", ServerSign.WELL)
    clock.now += 100
    assert health.troubled_seconds(since=0.0) == 20
    health.note("create", ServerSign.UNREACHED)
    clock.now += 3
    assert health.troubled_seconds(since=0.0) == 23
    clock.now += 1000
    assert health.troubled_seconds(since=0.0) == 20 + FORGET_SECONDS


@pytest.mark.parametrize(("quiet", "unnoticed"), [(26.0, 26.0), (900.0, UNNOTICED_SECONDS)])
def test_trouble_that_calls_tell_of_at_their_end_counts_from_the_last_one_that_was_well(
    quiet: float, unnoticed: float
) -> None:
    """An etcd that stands still lets calls hang: two looks told of it only when their time was over."""
    clock = Clock(1000.0)
    health = ServerHealth(clock)
    health.note("create", ServerSign.WELL)
    clock.now += quiet
    health.note("list", ServerSign.WELL)  # from the server's cache, so it proves nothing
    for _ in range(2):
        health.note("get", ServerSign.TROUBLED, 12.0)
    assert health.trouble_since() == clock.now
    clock.now += 10
    health.note("get", ServerSign.WELL)
    clock.now += 100
    assert health.troubled_seconds(since=0.0) == unnoticed + 10
    assert health.troubled_seconds(since=clock.now - 105) == 5
    assert health.troubled_seconds(since=clock.now - 50) == 0


def test_trouble_that_calls_tell_of_at_once_began_with_them() -> None:
    """Lists say nothing of the time before. Else two quick refusals a minute would let no Pod be overdue."""
    clock = Clock(1000.0)
    health = ServerHealth(clock)
    clock.now += 300
    for _ in range(2):
        health.note("list", ServerSign.TROUBLED, 0.01)
        clock.now += 0.5
    health.note("list", ServerSign.WELL)
    assert health.troubled_seconds(since=0.0) == 1


def test_long_trouble_is_remembered_whatever_short_trouble_follows() -> None:
    clock = Clock(1000.0)
    health = ServerHealth(clock)

    def trouble(seconds: float) -> None:
        for _ in range(2):
            health.note("create", ServerSign.TROUBLED)
        clock.now += seconds
        health.note("create", ServerSign.WELL)
        clock.now += 1

    trouble(14)
    for _ in range(2 * MOST_SPANS):
        trouble(0.5)
    assert health.troubled_seconds(since=0.0) == 14 + 0.5 * (MOST_SPANS - 1)
