"""A cluster that really runs its containers, for all tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ottoscaler.local import LocalCluster
from ottoscaler.local.node.machine import ServerOptions

from ...conformance.client import ApiServer, Namespace

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster("process", ServerOptions(bookmark_seconds=0.2), redis=False) as running:
        yield running


@pytest.fixture
def namespace(cluster: LocalCluster) -> Iterator[Namespace]:
    """A namespace of the test's own; faults are taken back behind it."""
    made = Namespace(ApiServer(cluster.kubeconfig_path), f"local-{next(_numbers)}")
    assert made.server.call("POST", "/api/v1/namespaces", {"metadata": {"name": made.name}}).code == 201
    yield made
    cluster.faults.clear()
    made.server.call("DELETE", made.pods, {"gracePeriodSeconds": 0})
    made.server.call("DELETE", made.path)
