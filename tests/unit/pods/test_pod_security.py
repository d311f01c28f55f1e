"""The Pod Security Standard "restricted", field by field, on a Pod that otherwise meets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ottoscaler.pods.pod_security import problems
from tests.harness.pod_makers import planned, scale_up


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("hostPID",), True, "hostPID is set"),
        (("securityContext", "runAsUser"), 0, "securityContext.runAsUser is 0"),
        (("securityContext", "runAsNonRoot"), False, "does not set runAsNonRoot: true"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "does not set seccompProfile"),
        (("securityContext", "sysctls"), [{"name": "kernel.msgmax"}], "sysctl kernel.msgmax is set"),
        (("containers", 0, "securityContext", "runAsUser"), 0, "container worker sets runAsUser: 0"),
        (("containers", 0, "securityContext", "privileged"), True, "container worker is privileged"),
        (("containers", 0, "securityContext", "procMount"), "Unmasked", "sets procMount"),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["X"]}, "adds cap"),
        (("containers", 0, "securityContext", "capabilities"), {}, "does not drop ALL"),
        (("containers", 0, "ports"), [{"hostPort": 80}], "uses a hostPort"),
    ],
)
def test_what_the_standard_refuses_is_named(place: tuple[str | int, ...], value: object, words: str) -> None:
    pod = json.loads(planned(scale_up()).body(0, 0))
    assert problems(pod) == []
    target: Any = pod["spec"]
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    assert len(problems(pod)) == 1
    assert words in problems(pod)[0]
