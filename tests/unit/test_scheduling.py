"""How the kernel schedules the service's threads."""

from __future__ import annotations

import os

import pytest

from ottoscaler.scheduling import keep_to_one_cpu, wake_without_preempting


@pytest.mark.parametrize(("before", "asked_for"), [(os.SCHED_OTHER, [os.SCHED_BATCH]), (os.SCHED_IDLE, [])])
def test_threads_that_wake_do_not_preempt_others_unless_the_operator_chose_a_policy(
    monkeypatch: pytest.MonkeyPatch, before: int, asked_for: list[int]
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: before)
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, param: asked.append(policy))
    wake_without_preempting()
    assert asked == asked_for


def test_a_system_that_refuses_the_policy_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("a seccomp profile without it")

    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    wake_without_preempting()


def test_a_system_without_the_policy_is_no_reason_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "SCHED_BATCH")
    wake_without_preempting()


def test_the_one_cpu_is_one_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, set[int]]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: asked.append((pid, cpus)))
    keep_to_one_cpu()
    assert asked in ([(0, {3})], [(0, {5})])


def test_a_system_that_refuses_one_cpu_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("a seccomp profile without it")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    keep_to_one_cpu()
