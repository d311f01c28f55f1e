"""Redis for the subcommands: the settings they need."""

from __future__ import annotations

from collections.abc import Mapping

from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings

_KUBERNETES_ONLY = ("KUBECONFIG",)


class Failed(Exception):
    """A subcommand cannot do what was asked; the text is one sentence for the person. Exit code 1."""


def redis_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that concern Redis alone, so that a tool works where the rest of the environment is wrong.

    Raises BadSettings.
    """
    return config.load({name: value for name, value in environ.items() if name.startswith("REDIS_")})


def settings_without_kubernetes(environ: Mapping[str, str]) -> Settings:
    """All settings but how to reach Kubernetes, which no tool but ``check`` asks. Raises BadSettings."""
    return config.load({name: value for name, value in environ.items() if name not in _KUBERNETES_ONLY})
