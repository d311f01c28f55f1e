from __future__ import annotations

import json

from tests.tools.pod_fields import FILE, fields


def test_local_server_knows_every_field_that_the_kubernetes_client_knows() -> None:
    """More is harmless: an older client may be installed than the one that the file was written from."""
    kept = json.loads(FILE.read_text())
    for name, own in fields().items():
        assert kept[name].items() >= own.items(), "python -m tests.tools.pod_fields"
    assert "nodeSelector" in kept["V1PodSpec"]
    assert "schedulingGates" in kept["V1PodSpec"]
