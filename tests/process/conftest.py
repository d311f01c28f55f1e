"""Replicas that are the command itself: these tests are about the service as a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.replica import SERVICE
from tests.harness.sandbox import Sandbox, sandbox


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A fresh Redis and namespace with the simulated kubelet."""
    with sandbox(program=SERVICE) as made:
        yield made
