"""The settings with which the subcommands reach Redis."""

from __future__ import annotations

from collections.abc import Mapping

from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings

_KUBERNETES_ONLY = ("KUBECONFIG",)


class Failed(Exception):
    """A subcommand cannot do what was asked, and ends with exit code 1. The text is a sentence for people."""


def redis_settings(environ: Mapping[str, str]) -> Settings:
    """Only the settings for Redis, so that a tool works even if other settings are wrong.

    Raises BadSettings.
    """
    return config.load({name: value for name, value in environ.items() if name.startswith("REDIS_")})


def settings_without_kubernetes(environ: Mapping[str, str]) -> Settings:
    """All settings except how to reach Kubernetes, which ``send`` does not need. Raises BadSettings."""
    return config.load({name: value for name, value in environ.items() if name not in _KUBERNETES_ONLY})
