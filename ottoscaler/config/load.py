"""Reads the settings from the environment, and checks them together.

``load`` runs in the main thread before any other thread starts; everything it returns is frozen and may be
read from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ottoscaler.config.checks import CHECKS, unknown_names, value_warnings
from ottoscaler.config.settings import NAMES, SPECS, Settings, masked, shown_value, variable
from ottoscaler.errors import BadSettings

LONGEST_VALUE_SHOWN = 200  # characters of a wrong value that a problem repeats


def load(environ: Mapping[str, str], check_kubeconfig: Callable[[str], None] | None = None) -> Settings:
    """The settings that an environment describes; an empty value counts as none. Main thread.

    ``check_kubeconfig`` reads the kubeconfig's files and raises ValueError with a clause if they cannot be
    used. The caller hands it in, because this package does not import the Kubernetes client.

    Raises:
        BadSettings: with one sentence for every problem, each naming the variable, the value and what is
            expected; no sentence holds a secret.
    """
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, spec in SPECS.items():
        raw = environ.get(variable(name), "")
        text = raw if spec.secret else raw.strip()
        if not text:
            continue
        try:
            values[name] = spec.kind.parse(text)
            if name == "kubeconfig" and check_kubeconfig is not None:
                check_kubeconfig(values[name])
        except ValueError as error:
            problems[name] = _problem(name, text, str(error))
    settings = Settings(**values, warnings=value_warnings(environ))
    sentences = list(problems.values())
    for attributes, check in CHECKS:
        # A value that could not be read has its default here, and a sentence of its own already.
        if problems.keys().isdisjoint(attributes) and (sentence := check(settings)):
            sentences.append(sentence)
    if sentences:
        raise BadSettings(sentences)
    return settings


def _problem(attribute: str, text: str, detail: str) -> str:
    shown = masked(attribute, text)
    if len(shown) > LONGEST_VALUE_SHOWN:
        shown = shown[:LONGEST_VALUE_SHOWN] + "…"
    why = f" ({detail.rstrip('.')})" if detail else ""
    return f"{variable(attribute)}: invalid value {shown!r}{why}; expected {SPECS[attribute].kind.expected}."


def describe(settings: Settings) -> dict[str, str]:
    """Every setting's value as people see it (secrets masked), by its variable, in the order of the table."""
    return {variable(name): shown_value(settings, name) for name in NAMES}


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """A warning for every ``OTTO_`` variable that nothing reads, with the closest known name."""
    return unknown_names(environ, [variable(name) for name in NAMES])
