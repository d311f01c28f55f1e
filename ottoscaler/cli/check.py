"""``check``: tests whether the service would work from here with these settings. It changes nothing."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Mapping

from ottoscaler.cli.finding import Finding, Level
from ottoscaler.cli.serve import check_kubeconfig, complain, end
from ottoscaler.cli.terminal import columns, json_text, paint, safe
from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BadSettings, BadTemplate
from ottoscaler.events.images import ImagePolicy
from ottoscaler.model import JsonObject
from ottoscaler.pods.templates import Templates, load_templates

# Each request has its own timeout. This one is for a name server or a credential plugin that hangs.
WHOLE_CHECK_SECONDS = 90.0
SCHEMA_VERSION = 1
LONGEST_LINE = 1000  # characters of one finding


class Report:
    """Prints findings as they come, and counts them. With ``as_json``, it keeps them for ``document``
    instead. For one thread."""

    def __init__(self, *, as_json: bool) -> None:
        self.counts: dict[Level, int] = {"ok": 0, "warning": 0, "problem": 0}
        self.as_json = as_json
        self._findings: list[Finding] = []

    def add(self, finding: Finding) -> None:
        self.counts[finding.level] += 1
        if self.as_json:
            self._findings.append(finding)
            return
        word = paint(finding.level, sys.stdout) + " " * (len("problem") - len(finding.level))
        print(f"  {word}  {finding.subject:<11}  {safe(finding.text, LONGEST_LINE)}", flush=True)

    def close(self, settings: Settings | None) -> None:
        """Print the document, if the findings were kept for it."""
        if self.as_json:
            print(json_text(self.document(settings), indent=2), flush=True)

    def document(self, settings: Settings | None) -> JsonObject:
        """The whole report, as docs/cli.md describes it. ``settings`` is None if they cannot be read."""
        values = {} if settings is None else config.describe(settings)
        defaults = config.describe(Settings())
        return {
            "schema_version": SCHEMA_VERSION,
            "settings": [
                {"name": name, "value": value, "changed": value != defaults[name]}
                for name, value in values.items()
            ],
            "findings": [
                {"level": each.level, "subject": each.subject, "text": each.text} for each in self._findings
            ],
            "counts": self.counts,
        }


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0 if there is no problem, 1 if something does not work, and 2 if the service would not start
    with these settings."""
    report = Report(as_json=arguments.json)
    settings = None
    try:
        settings = config.load(environ, check_kubeconfig)
    except BadSettings as error:
        complain(error.problems)
        for problem in error.problems if arguments.json else ():
            report.add(Finding("problem", "settings", problem))
    _overdue(report, settings).start()
    code = 2 if settings is None else _check(settings, environ, report)
    report.close(settings)
    return code


def _check(settings: Settings, environ: Mapping[str, str], report: Report) -> int:
    if not report.as_json:
        print("Settings (* differs from the default)")
        print("\n".join(_settings(settings)))
        print("\nChecks", flush=True)
    for sentence in (*settings.warnings, *config.unknown_settings(environ)):
        report.add(Finding("warning", "settings", sentence))
    allowed = ImagePolicy(settings.allowed_images).told()
    report.add(Finding("ok", "images", f"allowed in events: {', '.join(allowed)}"))
    templates = _templates(settings, report)
    installation = _redis(settings, report)
    _kubernetes(settings, templates, installation, report)
    counts = report.counts
    if not report.as_json:
        print(f"\n{counts['ok']} ok, {_plural(counts['warning'], 'warning')}, ", end="")
        print(_plural(counts["problem"], "problem"))
    if templates is None:
        return 2
    return 1 if counts["problem"] else 0


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _overdue(report: Report, settings: Settings | None) -> threading.Timer:
    def give_up() -> None:
        sentence = f"not finished after {WHOLE_CHECK_SECONDS:g} s; the next step hangs"
        report.add(Finding("problem", "check", sentence))
        report.close(settings)
        end(1)

    timer = threading.Timer(WHOLE_CHECK_SECONDS, give_up)
    timer.daemon = True
    return timer


def _settings(settings: Settings) -> list[str]:
    defaults = config.describe(Settings())
    rows = [
        ("*" if value != defaults[name] else " ", name, safe(value, LONGEST_LINE) or "-")
        for name, value in config.describe(settings).items()
    ]
    return columns((), rows)


def _templates(settings: Settings, report: Report) -> Templates | None:
    try:
        templates = load_templates(
            settings.templates_dir or None, agent_image=settings.agent_image, namespace=settings.namespace
        )
    except BadTemplate as error:
        for problem in error.problems:
            report.add(Finding("problem", "templates", problem))
        return None
    report.add(Finding("ok", "templates", f"valid: {', '.join(templates.names)}"))
    for problem in templates.problems:
        report.add(Finding("problem", "templates", problem))
    for warning in templates.warnings:
        report.add(Finding("warning", "templates", warning))
    return templates


def _redis(settings: Settings, report: Report) -> str | None:
    from ottoscaler.cli.check_redis import RedisCheck

    looking = RedisCheck(settings)
    for finding in looking.findings():
        report.add(finding)
    return looking.installation


def _kubernetes(
    settings: Settings, templates: Templates | None, installation: str | None, report: Report
) -> None:
    from ottoscaler.cli.check_kubernetes import KubernetesCheck

    for finding in KubernetesCheck(settings, templates, installation).findings():
        report.add(finding)
