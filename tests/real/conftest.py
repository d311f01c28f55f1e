"""These tests need RBAC, admission and validation as the real API server does them, so they are collected
only where ``OTTOSCALER_TEST_KUBECONFIG`` names one."""

from __future__ import annotations

from tests.harness.sandbox import REAL

collect_ignore_glob = [] if REAL else ["test_*.py"]
