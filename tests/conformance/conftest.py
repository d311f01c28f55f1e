"""The servers that are held to the statements: the local cluster, and a real one where there is one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from ottoscaler.local import LocalCluster
from ottoscaler.local.node.machine import ServerOptions

from .client import ApiServer, Namespace, until

_TARGETS = [pytest.param("local", id="local")]
if os.environ.get("OTTOSCALER_TEST_KUBECONFIG"):
    _TARGETS.append(pytest.param("real", id="real", marks=pytest.mark.real))

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=_TARGETS)
def server(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    """An API server whose nodes are played by a kubelet that obeys ``sim/`` annotations."""
    if request.param == "real":
        yield ApiServer(os.environ["OTTOSCALER_TEST_KUBECONFIG"])
        return
    with LocalCluster("simulated", ServerOptions(bookmark_seconds=0.2), redis=False) as cluster:
        yield ApiServer(cluster.kubeconfig_path)


@pytest.fixture
def namespace(server: ApiServer) -> Iterator[Namespace]:
    """A namespace of the test's own, ready for Pods, and deleted behind it."""
    name = f"conformance-{os.getpid()}-{next(_numbers)}"
    made = Namespace(server, name)
    assert server.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
    # A real cluster refuses Pods until the namespace has its service account; before 1.24, until that has its
    # token, which another controller makes.
    old = int(server.call("GET", "/version")["minor"].rstrip("+")) < 24
    until(
        lambda: server.call("GET", f"{made.path}/serviceaccounts/default"),
        lambda reply: reply.code == 200 and (not old or bool(reply.body.get("secrets"))),
    )
    yield made
    server.call("DELETE", made.pods, {"gracePeriodSeconds": 0})
    server.call("DELETE", made.path)
