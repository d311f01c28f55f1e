"""The templates thread: it takes up changes in OTTO_TEMPLATES_DIR and logs them."""

from __future__ import annotations

from ottoscaler.pods.live_templates import LiveTemplates
from ottoscaler.pods.templates import Templates
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.threads import Control, Loop

log = get_logger(__name__)

LOOK_SECONDS = 1.0  # a change is to be taken up within 5 s; a look costs one call for each file


class TemplateWatch(Loop):
    """Checks the files' status every LOOK_SECONDS, and reads them if it has changed."""

    def __init__(self, templates: LiveTemplates, control: Control) -> None:
        super().__init__(control)
        self._templates = templates
        self._told = templates.current

    def wait(self) -> None:
        self._stop.wait(LOOK_SECONDS)

    def step(self, now: float) -> None:  # noqa: ARG002
        """Look once. A change that another thread has taken up meanwhile is logged here as well."""
        self._templates.look(again=True)
        current = self._templates.current
        if current is not self._told:
            _tell(self._told, current)
            self._told = current


def _tell(before: Templates, now: Templates) -> None:
    for problem in now.problems:
        if problem not in before.problems:
            log.warning("template_invalid", f"{problem}; its last good version stays in use, if there is one")
    for warning in now.warnings:
        if warning not in before.warnings:
            log.warning("settings_warning", warning)
    old, new = before.by_profile, now.by_profile
    changed = sorted(profile for profile in new if old.get(profile) != new[profile])
    removed = sorted(set(old) - set(new))
    found = (("new or changed", changed), ("removed", removed))
    words = [f"{what}: {', '.join(names)}" for what, names in found if names]
    if words:
        log.info("templates_changed", f"templates were taken up; {'; '.join(words)}")
    elif before.problems and not now.problems:
        log.info("templates_changed", "the templates are valid again")
