"""Reads the settings from the environment, checks them together, and renders them for people.

``load`` runs in the main thread before any other thread starts; everything it returns is frozen and may be
read from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ottoscaler.config.checks import CHECKS, unknown_names, value_warnings
from ottoscaler.config.settings import NAMES, SPECS, Settings, masked, shown_value, variable
from ottoscaler.errors import BadSettings
from ottoscaler.tables import markdown

# Headings of docs/settings.md, each before the first setting under it.
SECTIONS = {
    "REDIS_URL": "Redis",
    "KUBECONFIG": "Kubernetes, and which installation this is",
    "OTTO_AGENT_IMAGE": "What events may run",
    "OTTO_MAX_WORKERS": "How much at a time",
    "OTTO_WORKER_TIMEOUT_SECONDS": "Time, resources and retries of a worker",
    "OTTO_FAILED_POD_TTL_SECONDS": "Ended Pods and their logs",
    "OTTO_LEASE_SECONDS": "Leases and stops",
    "OTTO_RETENTION_SECONDS": "What stays in Redis",
    "OTTO_KUBE_QPS": "Calls to the API server",
    "OTTO_HTTP_ADDRESS": "HTTP, the status page and log lines",
}

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


def render_settings_tables() -> str:
    """All settings in Markdown, a table under each heading, for docs/settings.md."""
    parts: list[tuple[str, list[tuple[str, ...]]]] = []
    for name, spec in SPECS.items():
        if heading := SECTIONS.get(variable(name)):
            parts.append((heading, []))
        default = spec.shown_default
        if default and not spec.worked_out:
            default = f"`{default}`"
        cells = (f"`{variable(name)}`", default, spec.kind.expected, spec.meaning)
        parts[-1][1].append(tuple(cell.replace("|", "\\|") for cell in cells))
    head = ("name", "default", "expected", "meaning")
    return "\n".join(f"## {heading}\n\n{markdown(head, rows)}" for heading, rows in parts)


def render_settings_page() -> str:
    """The whole of docs/settings.md; a unit test holds the file equal to this."""
    return f"""# Settings

All settings come from the environment. Every one is optional, and an empty value counts as unset. The ones to
set first: `REDIS_URL`, `NAMESPACE`, `OTTO_AGENT_IMAGE` (what workers run), `OTTO_ALLOWED_IMAGES` (what events
may ask for instead) and `OTTO_MAX_WORKERS` (how many run at a time in one replica).

`python -m ottoscaler check` lists all settings with their values. The service does not start with an invalid
one: it exits with code 2 and prints one line for every problem, such as
`OTTO_MAX_WORKERS: invalid value 'many'; expected an integer from 1 to 10000.`
An `OTTO_` variable that is not on this page is ignored, with a warning.

{render_settings_tables()}
## Details

- Secrets (`REDIS_PASSWORD`, and a password inside `REDIS_URL`) are shown as `***` wherever settings are
  shown, and are replaced in every log line, as is what `REDIS_PASSWORD_FILE` holds. If a `REDIS_URL` cannot
  be parsed, only the parts that cannot be a password are shown.
- The files that `KUBECONFIG` names are read at the start, and an unusable one stops the start as any other
  invalid value does. If a file becomes unreadable later, for example while it is rewritten, the service
  waits for it. They are read again after a 401, after a failure of certificates, and when the API server
  cannot be connected to and a file was written anew, which may name another address. The context stays the
  one that was current at the start, whatever `current-context` says later. Without `KUBECONFIG`, the service
  account is used if its token is mounted. Otherwise `~/.kube/config` is used, and the service waits for it
  if it is missing.
- If `OTTO_INSTANCE` is not set, it is the first 10 hexadecimal digits of the SHA-256 of the database's
  number, the stream and the group. It stays the same when Redis moves to another host, and all replicas
  agree on it.
- A Service named `redis` makes the kubelet set `REDIS_PORT=tcp://10.96.0.5:6379` in every Pod of its
  namespace (and one named `otto-http`, `OTTO_HTTP_PORT`). Such a value is read as the port it ends with,
  with a warning; `enableServiceLinks: false` keeps it away.

<!-- Written by ottoscaler.config.load.render_settings_page; do not edit. To write it anew:
python -c 'from ottoscaler.config.load import render_settings_page as r; print(r(), end="")' \\
    > docs/settings.md -->
"""
