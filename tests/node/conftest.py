"""These tests start a kubelet and containerd, which takes root and a control plane without other nodes.

So they are collected only where ``OTTOSCALER_TEST_KUBELET`` names a kubelet, as ``make node-test`` does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.sandbox import REAL, Sandbox
from tests.node.images import IMAGE
from tests.node.real_node import RealNode

KUBELET = os.environ.get("OTTOSCALER_TEST_KUBELET", "")
collect_ignore_glob = [] if KUBELET else ["test_*.py"]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    folder = tmp_path_factory.mktemp("node")
    made = RealNode(folder, Path(KUBELET), Path(REAL))
    try:
        made.start()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def service(node: RealNode, place: Sandbox) -> Sandbox:
    """A replica whose workers run in that node's containers."""
    place.start(OTTO_AGENT_IMAGE=IMAGE, OTTO_LOGS="all")
    return place
