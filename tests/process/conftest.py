"""Replicas that are the command itself, where a test is about how the service starts and ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.sandbox import SERVICE, Sandbox, sandbox

STARTS_AND_ENDS = ("test_start", "test_exit_codes", "test_signals")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A fresh Redis and namespace with the simulated kubelet."""
    with sandbox(program=SERVICE if request.path.stem in STARTS_AND_ENDS else ()) as made:
        yield made
