"""What the public client needs."""

from __future__ import annotations

import subprocess
import sys

ABSENT = ("kubernetes", "prometheus_client", "yaml", "tenacity", "pythonjsonlogger", "urllib3")


def test_the_client_needs_no_package_but_redis_and_prints_nothing() -> None:
    program = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))  # an import of them fails
import ottoscaler.client
from ottoscaler.telemetry.logs import get_logger
ottoscaler.client.Client()
get_logger("ottoscaler.ledger.redis_endpoint").warning("redis_wrong_server", "a line of the service's log")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_command_line_says_which_package_it_lacks_where_only_the_client_is_installed() -> None:
    program = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
from ottoscaler.__main__ import main
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, "status"], capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 2
    assert "needs the package" in ran.stderr
    assert "Traceback" not in ran.stderr
