"""Fixtures for the tests that need a Redis and an API server."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.harness.sandbox import Sandbox, sandbox

# How long one example may take is the machine's load, not a property of the code.
settings.register_profile("ottoscaler", deadline=None)
settings.load_profile("ottoscaler")


LOG_TAIL = 6000  # characters of each replica's log beside a failure


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the replicas' logs beside a failure: a race that CI saw once can be told by nothing else."""
    report = yield
    if report.failed:
        for made in getattr(item, "funcargs", {}).values():
            for replica in made.replicas if isinstance(made, Sandbox) else ():
                report.sections.append((f"log of {replica.log_path.name}", replica.log()[-LOG_TAIL:]))
    return report


@pytest.fixture
def place() -> Iterator[Sandbox]:
    """A fresh Redis and namespace with the simulated kubelet (or the real cluster's fake one)."""
    with sandbox() as made:
        yield made
