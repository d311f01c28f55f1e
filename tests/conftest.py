"""Fixtures for the tests that need a Redis and an API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.harness.sandbox import Sandbox, sandbox

# How long one example may take is the machine's load, not a property of the code.
settings.register_profile("ottoscaler", deadline=None)
settings.load_profile("ottoscaler")


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A fresh Redis and namespace with the simulated kubelet (or the real cluster's fake one)."""
    with sandbox() as made:
        yield made
