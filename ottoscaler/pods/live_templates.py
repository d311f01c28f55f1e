"""The templates of a directory, which may change while the service runs.

A kubelet replaces a changed ConfigMap in one step, by a symbolic link. An editor writes a file in several
steps. Both show in the files' status. A half-written file is read again as soon as its status changes.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from types import MappingProxyType

from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.pods.template_files import MAX_FILES
from ottoscaler.pods.templates import Template, TemplateDirectory, Templates

MOST_REMOVED = MAX_FILES  # removed profiles whose last templates are remembered for events in flight


class LiveTemplates:
    """The templates that new events may use. Any thread.

    If a new version of a template is broken, the last good one stays in use. A call reads the directory only
    if the status of its files has changed, and may wait while another thread reads it.
    """

    def __init__(self, directory: TemplateDirectory, first: Templates) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._read_at: object = None  # the files' status before the last read; None: read them again
        self.current = first
        self._removed: dict[str, Template] = {}  # by profile, in the order of removal

    def get(self, profile: str) -> Template:
        """The template of a profile. If it is unknown, the directory is read first. Raises BadEvent."""
        current = self.current
        if profile not in current.by_profile and self.look():
            current = self.current
        return current.get(profile)

    def last_known(self, profile: str) -> Template:
        """For events in flight: a profile's template, or its last one if it was removed. Raises BadEvent."""
        try:
            return self.get(profile)
        except BadEvent:
            known = self._removed.get(profile)
            if known is None:
                raise
            return known

    def look(self, *, again: bool = False) -> bool:
        """Read the directory if its files have changed since the last look; with ``again``, also if some
        could not be used. Returns whether it was read."""
        with self._lock:
            status = self._directory.status()
            if status == self._read_at and not (again and self.current.problems):
                return False
            self._read_at = status
            try:
                found = self._directory.read()
            except BadTemplate as error:  # the directory cannot be read, so all templates stay as they are
                found = replace(self.current, problems=tuple(error.problems))
            self._take_up(found)
            return True

    def _take_up(self, found: Templates) -> None:
        before = self.current.by_profile
        kept = {profile: before[profile] for profile in found.broken if profile in before}
        templates = MappingProxyType({**found.by_profile, **kept})
        broken = {profile: why for profile, why in found.broken.items() if profile not in kept}
        for profile in before:
            if profile not in templates:
                self._removed[profile] = before[profile]
        for profile in templates:
            self._removed.pop(profile, None)
        while len(self._removed) > MOST_REMOVED:
            del self._removed[next(iter(self._removed))]
        self.current = replace(found, by_profile=templates, broken=MappingProxyType(broken))
