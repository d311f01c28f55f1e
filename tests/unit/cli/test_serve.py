"""How the service's process is set up before its threads start."""

import os

import pytest

from ottoscaler.cli.serve import keep_to_one_cpu


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
