"""What this replica's policy and templates make of an entry: an event, and the plan of its Pods."""

from __future__ import annotations

import sys
from dataclasses import replace

from ottoscaler.errors import BadEvent
from ottoscaler.events.parse import Limits, parse_event
from ottoscaler.ledger.bounded_replies import MOST_BYTES
from ottoscaler.ledger.identity import ReplicaIdentity
from ottoscaler.ledger.records import Entry, Record
from ottoscaler.model import Event, ScaleUp
from ottoscaler.pods.plan import PodDefaults, PodPlan, plan
from ottoscaler.pods.templates import Templates
from ottoscaler.workers.run import EventRun


class EventReader:
    """Any thread. Raises BadEvent with a sentence for the producer."""

    def __init__(
        self, limits: Limits, templates: Templates, defaults: PodDefaults, identity: ReplicaIdentity
    ) -> None:
        self._limits = limits
        self._templates = templates
        self._defaults = defaults
        self._identity = identity

    def event(self, entry: Entry, limits: Limits | None = None) -> Event:
        """The event that an entry is, by this replica's limits or by others."""
        if entry.cut_bytes:
            raise BadEvent(
                f"the event has {entry.cut_bytes} bytes; the limit is {self._limits.max_event_bytes}. "
                f"Only its first fields, up to {MOST_BYTES} bytes, were read"
            )
        return parse_event(entry.id, entry.fields or (), limits or self._limits)

    def plan(self, event: Event) -> PodPlan | None:
        """How to build the Pods of a scale_up, as this incarnation's and for the present installation."""
        if not isinstance(event, ScaleUp):
            return None
        me = self._identity
        defaults = replace(self._defaults, installation=me.installation, owner=me.incarnation)
        return plan(event, self._templates, defaults)

    def again(self, record: Record) -> tuple[Event, PodPlan | None, str]:
        """Event and plan of one that was taken before, and why there is no plan: this replica's policy or
        templates may be others than those that it was taken under. Raises nothing."""
        try:
            # Its unknown fields were accepted when it was taken, maybe before an update.
            event = self.event(record.entry(), replace(self._limits, unknown_fields="metadata"))
        except BadEvent as error:
            return self._without_limits(record), None, str(error)
        try:
            return event, self.plan(event), ""
        except BadEvent as error:
            return event, None, str(error)

    def planned(self, run: EventRun) -> PodPlan:
        """The plan of an event in flight: the one that it holds, or built anew where it holds none or one of
        another installation (Redis was emptied)."""
        held = run.plan
        if held is not None and held.defaults.installation == self._identity.installation:
            return held
        _, made, problem = self.again(run.record())
        if made is None:
            raise BadEvent(problem)
        return made

    def _without_limits(self, record: Record) -> Event:
        """An event that this replica's limits refuse, for its workers that run already: they keep their own
        timeout and retries. Fields that only a new Pod needs are left out, with the policies for them."""
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
        max_pods_per_event=sys.maxsize,
        max_event_bytes=sys.maxsize,
        max_timeout_seconds=sys.maxsize,
        max_event_retries=sys.maxsize,
        unknown_fields="metadata",
    )
