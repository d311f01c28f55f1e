"""docs/settings.md, written from the settings.

``python -m tests.tools.settings_page`` writes it anew; a unit test holds the file equal to this.
"""

from __future__ import annotations

from pathlib import Path

from ottoscaler.config.settings import SPECS, variable
from ottoscaler.tables import markdown

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

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


def tables() -> str:
    """All settings in Markdown, a table under each heading."""
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


def render() -> str:
    """The whole page."""
    return f"""# Settings

All settings come from the environment. Every one is optional, and an empty value counts as unset. The ones to
set first: `REDIS_URL`, `NAMESPACE`, `OTTO_AGENT_IMAGE` (what workers run), `OTTO_ALLOWED_IMAGES` (what events
may ask for instead) and `OTTO_MAX_WORKERS` (how many run at a time in one replica).

`python -m ottoscaler check` lists all settings with their values. The service does not start with an invalid
one: it exits with code 2 and prints one line for every problem, such as
`OTTO_MAX_WORKERS: invalid value 'many'; expected an integer from 1 to 10000.`
An `OTTO_` variable that is not on this page is ignored, with a warning.

{tables()}
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

<!-- Written by `python -m tests.tools.settings_page`; do not edit. -->
"""


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
