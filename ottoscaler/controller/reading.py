"""Turns an entry into an event and the plan of its Pods, by this replica's limits and templates."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from ottoscaler.errors import BadEvent
from ottoscaler.events.parse import Limits, parse_event
from ottoscaler.ledger.bounded_replies import FIRST_FIELDS_ONLY, MOST_STRINGS
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.records import Entry, Record
from ottoscaler.model import MOST_WORKERS, Event, ScaleUp
from ottoscaler.pods.live_templates import LiveTemplates
from ottoscaler.pods.plan import PodDefaults, PodPlan, plan
from ottoscaler.pods.templates import Template
from ottoscaler.workers.run import EventRun


@dataclass(frozen=True, slots=True)
class Reread:
    """An event that was taken before, and the plan of its Pods by this replica's limits and templates.

    Without a plan, ``problem`` says why: the event is not ``within_limits``, or its template cannot be used.
    """

    event: Event
    plan: PodPlan | None
    problem: str = ""
    within_limits: bool = True


class EventReader:
    """Any thread. A BadEvent that it raises tells the producer what is wrong."""

    def __init__(
        self, limits: Limits, templates: LiveTemplates, defaults: PodDefaults, identity: ReplicaIdentity
    ) -> None:
        self._limits = limits
        self._templates = templates
        self._defaults = defaults
        self._identity = identity

    def event(self, entry: Entry, limits: Limits | None = None) -> Event:
        """The event in an entry, checked against ``limits``, by default this replica's. Raises BadEvent."""
        if entry.cut_bytes:
            most = self._limits.max_event_bytes
            size = f"has {entry.cut_bytes} bytes; the limit is {most}"
            if entry.cut_bytes <= most:
                size = f"has more than {MOST_STRINGS // 2} fields, which is the limit"
            raise BadEvent(f"the event {size}. {FIRST_FIELDS_ONLY}")
        return parse_event(entry.id, entry.fields or (), limits or self._limits)

    def plan(self, event: Event) -> PodPlan | None:
        """How to build the Pods of a new scale_up. ``None`` for a scale_down. Raises BadEvent.

        The Pods belong to this incarnation and the present installation.
        """
        return self._plan(event, self._templates.get)

    def _plan(self, event: Event, template_of: Callable[[str], Template]) -> PodPlan | None:
        if not isinstance(event, ScaleUp):
            return None
        return plan(event, template_of(event.profile), self._own_defaults())

    def _own_defaults(self) -> PodDefaults:
        """The defaults of this incarnation and the present installation. They rarely change."""
        me, kept = self._identity, self._defaults
        if (kept.installation, kept.owner) != (me.installation, me.incarnation):
            self._defaults = kept = replace(kept, installation=me.installation, owner=me.incarnation)
        return kept

    def again(self, record: Record) -> Reread:
        """Read an event that was taken before, maybe under other limits or templates. Raises no BadEvent."""
        try:
            # Its unknown fields were accepted when it was taken, so they are accepted now.
            event = self.event(record.entry(), replace(self._limits, unknown_fields="metadata"))
        except BadEvent as error:
            return Reread(self._without_limits(record), None, str(error), within_limits=False)
        try:
            return Reread(event, self._plan(event, self._templates.last_known))
        except BadEvent as error:
            return Reread(event, None, str(error))

    def planned(self, run: EventRun) -> PodPlan:
        """The plan of an event that was taken before. Raises BadEvent if none can be made.

        It is the plan that the run holds. It is made anew if the run holds none, or holds one of another
        incarnation or installation (Redis was emptied).
        """
        held, me = run.plan, self._identity
        if held is not None and (held.defaults.installation, held.defaults.owner) == (
            me.installation,
            me.incarnation,
        ):
            return held
        read = self.again(run.record())
        if read.plan is None:
            raise BadEvent(read.problem)
        return read.plan

    def _without_limits(self, record: Record) -> Event:
        """An event that this replica's limits refuse, read without them.

        Its workers that run already keep their own timeout and retries. Fields that only a new Pod needs are
        left out, so their policies are not checked.
        """
        entry = record.entry()
        fields = [(name, value) for name, value in entry.fields or () if name not in _OF_NEW_PODS]
        try:
            return parse_event(entry.id, fields, _without_bounds(self._limits))
        except BadEvent:
            return ScaleUp(record.event_id, record.event_id, record.count)


_OF_NEW_PODS = frozenset({b"image", b"command", b"args", b"env", b"cpu", b"memory", b"profile"})


def _without_bounds(limits: Limits) -> Limits:
    return replace(
        limits,
        max_pods_per_event=MOST_WORKERS,
        max_event_bytes=sys.maxsize,
        max_timeout_seconds=sys.maxsize,
        max_event_retries=sys.maxsize,
        unknown_fields="metadata",
    )
