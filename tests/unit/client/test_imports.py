"""What the public client needs."""

from __future__ import annotations

import subprocess
import sys

ABSENT = ("kubernetes", "prometheus_client", "yaml", "tenacity", "pythonjsonlogger", "urllib3")


def test_importing_the_client_needs_no_package_but_redis() -> None:
    program = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))  # an import of them fails
import ottoscaler.client
ottoscaler.client.Client()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
