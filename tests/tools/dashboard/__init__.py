"""Writes manifests/monitoring/dashboard.json, the Grafana dashboard: ``python -m tests.tools.dashboard``."""
