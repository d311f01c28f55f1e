"""When an earlier process under our name has provably ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from ottoscaler.ledger.identity import has_ended, identity


def left(**changes: Any) -> str:
    """What an earlier process of this machine left, changed as said."""
    return json.dumps({**identity("pod-1"), **changes})


def test_process_that_runs_has_not_ended() -> None:
    assert not has_ended(left(), identity("pod-2"))


def test_process_that_is_gone_from_the_same_machine_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert has_ended(left(pid=process.pid), identity("pod-2"))


def test_process_id_that_was_given_again_is_not_taken_for_the_old_process() -> None:
    assert has_ended(left(pid=os.getpid(), started="1"), identity("pod-2"))


def test_process_of_another_machine_is_not_judged_by_its_id() -> None:
    assert not has_ended(left(machine="elsewhere", pid=999_999_999), identity("pod-2"))


def test_process_ids_are_not_compared_where_neither_machine_could_be_told() -> None:
    """As in a sandbox without /proc: a live process elsewhere would lose its events."""
    elsewhere = left(machine="", pid=999_999_999)
    assert not has_ended(elsewhere, {**identity("pod-2"), "machine": ""})


def test_earlier_container_of_the_same_pod_has_ended() -> None:
    assert has_ended(left(machine="other-namespace"), identity("pod-1"))


def test_missing_pod_uid_proves_nothing() -> None:
    assert not has_ended(left(machine="elsewhere", pod_uid=""), identity(""))


def test_unreadable_information_proves_nothing() -> None:
    for info in ("", "{", "[]", "null", '"x"'):
        assert not has_ended(info, identity("pod-1"))
