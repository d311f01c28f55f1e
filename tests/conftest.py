"""Fixtures for the tests that need a Redis and an API server."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest
from hypothesis import settings

from tests.harness.sandbox import Sandbox, sandbox

# How long one example may take is the machine's load, not a property of the code.
settings.register_profile("ottoscaler", deadline=None)
settings.load_profile("ottoscaler")


FOLDERS = ("tests/unit", "tests/conformance", "tests/process", "tests/integration")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import the test modules of the whole suite, each worker from another one on.

    A worker leaves a module's bytecode behind, with its asserts rewritten, which is most of an import's cost.
    Workers that collect in step would each do that for every module."""
    config = session.config
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    gc.disable()  # until all is collected, and stays until the end: it would look at that again and again
    if config.args != config.getini("testpaths"):
        return
    files = [path for folder in FOLDERS for path in sorted((config.rootpath / folder).rglob("test_*.py"))]
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for path in files[first:] + files[:first]:
        with suppress(Exception):  # the collection tells of it
            importlib.import_module(".".join(path.relative_to(config.rootpath).with_suffix("").parts))


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


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
