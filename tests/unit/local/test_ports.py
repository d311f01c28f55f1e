"""Ports for the local cluster: below those of outgoing connections, and never one in use."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import pytest

from ottoscaler.local import ports


def test_a_port_is_outside_the_range_of_outgoing_connections() -> None:
    first_outgoing = int(ports.EPHEMERAL_RANGE.read_text().split()[0])

    assert ports.LOWEST <= ports.free_port() < first_outgoing


def test_each_call_gives_another_port() -> None:
    assert len({ports.free_port() for _ in range(50)}) == 50


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as listening:
        following = ports.free_port() + 1
        listening.bind(("127.0.0.1", following))
        listening.listen()

        assert ports.free_port() != following


def test_a_port_that_another_process_was_given_is_passed_over_before_anybody_listens_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_first_call() -> int:
        monkeypatch.setattr(ports, "_taken", itertools.count(7))
        return ports.free_port()

    given = as_first_call()
    assert as_first_call() != given


def test_few_claims_are_kept() -> None:
    for _ in range(ports.MOST_CLAIMS + 10):
        ports.free_port()
    assert len(ports._claims) == ports.MOST_CLAIMS


@pytest.mark.parametrize("text", ["1024\t65535\n", "nonsense", ""])
def test_a_host_that_reserves_no_range_still_gets_a_port(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ip_local_port_range"
    path.write_text(text)
    monkeypatch.setattr(ports, "EPHEMERAL_RANGE", path)

    assert ports.free_port() >= ports.LOWEST
