"""What the API server's refusals mean, in the words of real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ottoscaler.pods.refusal_table import REFUSALS, Means, refusal, render_refusals

PODS = 'pods "otto-agent-ci-1-0-0-0" is forbidden: '
HOOK = 'admission webhook "policy.example.org" denied the request: '
CALL = (
    'Internal error occurred: failed calling webhook "policy.example.org": failed to call webhook: Post "x": '
)
FOR_NOW = [
    (403, "Forbidden", PODS + 'error looking up service account ci/x: serviceaccount "x" not found'),
    (403, "Forbidden", PODS + "service account ci/x was not found, retry after it is created"),
    (500, "ServerTimeout", 'No API token found for service account "x", retry after it is created'),
    (403, "Forbidden", PODS + "not yet ready to handle request"),
    (403, "Forbidden", PODS + "status unknown for quota: q, resources: pods"),
    (403, "Forbidden", PODS + "unable to create new content in namespace ci because it is being terminated"),
    (403, "Forbidden", PODS + "no PriorityClass with name otto-worker was found"),
    (403, "Forbidden", PODS + 'pod rejected: RuntimeClass "gvisor" not found'),
    (403, "Forbidden", 'pods is forbidden: User "x" cannot create resource "pods" in API group ""'),
    (404, "NotFound", 'namespaces "ci" not found'),
    (409, "Conflict", 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified'),
    (500, "InternalError", CALL + "context deadline exceeded"),
    (500, "InternalError", CALL + "dial tcp 10.96.19.182:443: connect: connection refused"),
    (504, "Timeout", "Timeout: request did not complete within requested timeout - context deadline"),
    (503, "", HOOK + "the database is being upgraded"),
    (429, "", HOOK + "slow down"),
    (401, "", HOOK + "my token has expired"),
    (403, "", HOOK + "rpc error: code = Unavailable desc = policy store"),
]  # fmt: skip
TROUBLE = [
    (403, "Forbidden", PODS + "rpc error: code = Unavailable desc = transport is closing"),
    (403, "Forbidden", PODS + "etcdserver: request timed out"),
    (500, "", "etcdserver: no leader"),
    (500, "InternalError", "Internal error occurred: resource quota evaluation timed out"),
    (400, "BadRequest", "unable to read the body: unexpected EOF"),
    (404, "NotFound", "dial tcp 127.0.0.1:2379: connect: connection refused"),
    (409, "Conflict", "rpc error: code = Unknown desc = context canceled"),
    (401, "Unauthorized", "Unauthorized"),
    (429, "TooManyRequests", "Too many requests, please try again later."),
    (503, "ServiceUnavailable", "apiserver is shutting down"),
]
NEVER = [
    (422, "Invalid", 'Pod "x" is invalid: spec.containers[0].image: Invalid value: "rpc error: code = y"'),
    (403, "Forbidden", PODS + "maximum memory usage per Container is 1Mi, but limit is 512Mi"),
    (403, "Forbidden", PODS + 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'),
    (403, "Forbidden", PODS + "failed quota: q: must specify limits.cpu"),
    (403, "Forbidden", PODS + "the image registry.example.org/etcdserver:no-leader-1 is not allowed"),
    (403, "", HOOK + "no root here"),
    (400, "BadRequest", HOOK + "latest is not a tag"),
    (403, "Forbidden", PODS + 'ValidatingAdmissionPolicy "p" with binding "b" denied request: not like this'),
    (400, "BadRequest", "strict decoding error: unknown field"),
    (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
]


@pytest.mark.parametrize(
    ("means", "status", "reason", "message"),
    [
        (means, *told)
        for means, group in ((Means.FOR_NOW, FOR_NOW), (Means.TROUBLE, TROUBLE), (Means.NEVER, NEVER))
        for told in group
    ],
)
def test_refusal_means_what_its_words_say(means: Means, status: int, reason: str, message: str) -> None:
    assert refusal(status, reason, "create: " + message).means is means


def test_name_that_is_taken_and_quota_that_is_full_are_told_apart_from_other_refusals() -> None:
    assert refusal(409, "AlreadyExists", 'pods "x" already exists').means is Means.EXISTS
    assert refusal(403, "Forbidden", PODS + "exceeded quota: q, requested: pods=1").means is Means.NO_ROOM


def test_every_row_of_refusals_is_told_by_some_message() -> None:
    told = [refusal(*each) for each in (*FOR_NOW, *TROUBLE, *NEVER)]
    told += [refusal(409, "AlreadyExists", ""), refusal(403, "", "exceeded quota")]
    assert [row for row in REFUSALS if row not in told] == []


def test_documented_refusals_are_the_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "failures.md").read_text(encoding="utf-8")
    mark = "<!-- generated: ottoscaler.pods.refusal_table.render_refusals -->\n\n"
    assert document.partition(mark)[2].startswith(render_refusals())
