"""These tests need RBAC, admission and validation as the real API server does them, so they are collected
only where ``OTTOSCALER_TEST_KUBECONFIG`` names one; those of the chart also need helm."""

from __future__ import annotations

from tests.harness import chart_tools
from tests.harness.sandbox import REAL

collect_ignore_glob = ([] if chart_tools.there() else ["test_chart.py"]) if REAL else ["test_*.py"]
