"""A Pod that has a worker's name and is not its own."""

from __future__ import annotations

from typing import Any

import pytest

from ottoscaler.pods.view import parse_pod
from ottoscaler.workers.adopt import whose


@pytest.mark.parametrize("shown", [{"installation": "f00d"}, {"annotated": "f00d"}])
def test_nobody_is_told_to_delete_another_installations_running_worker(shown: dict[str, str]) -> None:
    view: Any = parse_pod({})
    told = whose(view._replace(**shown))
    assert "OTTO_INSTANCE" in told
    assert "delete" not in told
    assert "delete it" in whose(parse_pod({}))
