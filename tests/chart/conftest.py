"""These tests need helm, which ``make chart-test`` fetches; without it they are not collected."""

from __future__ import annotations

import sys

from tests.harness import chart_tools

if chart_tools.there():
    sys.path.append(str(chart_tools.PACKAGES))
collect_ignore_glob = [] if chart_tools.there() else ["test_*.py"]
