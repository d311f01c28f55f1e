"""Fixtures for the tests that need a Redis and an API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.sandbox import Sandbox, sandbox


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A fresh Redis and namespace with the simulated kubelet (or the real cluster's fake one)."""
    with sandbox() as made:
        yield made
