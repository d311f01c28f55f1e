"""What the local cluster starts ends with it, whenever that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from ottoscaler.local.child import begin_child


@pytest.mark.parametrize(("parent", "said"), [(os.getpid, "begun"), (lambda: 1, "")])
def test_child_begins_only_while_its_parent_lives(parent: Callable[[], int], said: str) -> None:
    """A parent that was killed between the fork and the child's first step left a service that ran on."""
    child = subprocess.run(
        [sys.executable, "-c", "print('begun')"],
        preexec_fn=partial(begin_child, parent()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout.strip() == said
