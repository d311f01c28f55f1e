"""The templates of a directory, followed while they change.

A kubelet brings a changed ConfigMap in one step, by a symbolic link, and an editor brings a file in several.
Both are seen by what the files' status says; what is half written is read again as soon as that changes.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from types import MappingProxyType

from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.pods.template_files import MAX_FILES
from ottoscaler.pods.templates import Template, TemplateDirectory, Templates, TemplateSource

MOST_REMOVED = MAX_FILES  # removed profiles whose last templates are remembered for events in flight


class LiveTemplates:
    """What new events may use. Any thread.

    A broken new version of a template leaves the last good one in use. A call reads the directory again only
    where its files' status has changed, and may wait for another thread's reading.
    """

    def __init__(self, directory: TemplateDirectory, first: Templates) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._read_at: object = None  # the files' status before the last reading; None: to be read again
        self.current = first
        self._removed: dict[str, Template] = {}  # profiles, the one that was removed first comes first

    @property
    def in_flight(self) -> TemplateSource:
        """What events in flight may use: a template that was removed, too."""
        return _LastKnown(self)

    def get(self, profile: str) -> Template:
        """The template of a profile; one that nobody knows is looked for at once. Raises BadEvent."""
        current = self.current
        if profile not in current.by_profile and self.look():
            current = self.current
        return current.get(profile)

    def last_known(self, profile: str) -> Template:
        """The template of a profile or, where that was removed, its last one. Raises BadEvent."""
        try:
            return self.get(profile)
        except BadEvent:
            known = self._removed.get(profile)
            if known is None:
                raise
            return known

    def look(self, *, again: bool = False) -> bool:
        """Take up what has changed since the last look; with ``again``, also read what could not be used.
        Whether anything was read."""
        with self._lock:
            status = self._directory.status()
            if status == self._read_at and not (again and self.current.problems):
                return False
            self._read_at = status
            try:
                found = self._directory.read()
            except BadTemplate as error:  # the directory itself: all stays as it is
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


class _LastKnown:
    def __init__(self, templates: LiveTemplates) -> None:
        self._templates = templates

    def get(self, profile: str) -> Template:
        return self._templates.last_known(profile)
