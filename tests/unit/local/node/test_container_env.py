"""What a container's process is given: expansion, sources, paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ottoscaler.local.apiserver.store import Store
from ottoscaler.local.node import container_env
from ottoscaler.local.node.containers import MESSAGE_BYTES, MESSAGE_LINES, last_words

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c"}},
    "spec": {"nodeName": "fake-0"},
    "status": {"podIP": "10.0.0.1"},
}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"), ("x$(A)y$(B)", "x1y2"), ("$(NOPE)", "$(NOPE)"), ("$$(A)", "$(A)"), ("$$", "$"),
        ("$$$$", "$$"),
        ("$A", "$A"), ("$", "$"), ("$(", "$("), ("$$$(A)", "$1"), ("", ""),
    ],
)  # fmt: skip
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert container_env.expand(text, {"A": "1", "B": "2"}) == expanded


def test_variables_refer_to_those_above_them() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"}]
    assert container_env.environment(POD, {"env": env}, Store()) == {"A": "1", "B": "1$(C)", "C": "3"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("spec.nodeName", "fake-0"),
        ("status.podIP", "10.0.0.1"),
        ("metadata.labels['a/b']", "c"),
        ("metadata.annotations['x']", ""),
    ],
)
def test_downward_api_fills_variables(path: str, value: str) -> None:
    env = [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert container_env.environment(POD, {"env": env}, Store()) == {"X": value}


def test_missing_config_map_is_a_config_error_unless_optional() -> None:
    reference = {"name": "gone", "key": "k"}
    container = {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": reference}}]}
    with pytest.raises(container_env.ConfigError, match='configmap "gone" not found'):
        container_env.environment(POD, container, Store())
    reference["optional"] = "yes"
    assert container_env.environment(POD, container, Store()) == {}


def test_paths_below_a_mount_lead_to_the_volume(tmp_path: Path) -> None:
    mounted = container_env.mounts({"volumeMounts": [{"name": "v", "mountPath": "/home/x/"}]}, tmp_path)
    env = container_env.process_environment({"HOME": "/home/x", "OTHER": "/home/xy"}, mounted, "h", tmp_path)
    assert env["HOME"] == f"{tmp_path}/v/"[:-1]
    assert env["OTHER"] == "/home/xy"


def test_last_words_are_bounded_in_bytes_and_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{i}\n" for i in range(200)))
    assert last_words(log).splitlines() == [str(i) for i in range(200 - MESSAGE_LINES, 200)]
    log.write_text("x" * 5000)
    assert last_words(log) == "x" * MESSAGE_BYTES
    assert last_words(tmp_path / "none") == ""
