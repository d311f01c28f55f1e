"""Takes scale_downs ahead of their turn: ones that nobody has read yet, or whose reader stands still."""

from __future__ import annotations

from ottoscaler.controller.intake import Intake
from ottoscaler.errors import OF_REDIS_ITSELF, BadEvent, Fenced, RedisError
from ottoscaler.events.values import raw_task_id
from ottoscaler.ledger.records import Entry
from ottoscaler.telemetry.logs import get_logger
from ottoscaler.workers.in_hand import InHand

log = get_logger(__name__)

HANDS_AHEAD = 4  # scale_downs may be taken ahead of their turn until this many times what fits is in hand


def room_ahead(in_hand: InHand) -> bool:
    """Whether one more scale_down may be taken ahead of its turn."""
    return in_hand.count() < in_hand.most * HANDS_AHEAD


def accept_ahead(intake: Intake, entry: Entry, *, carry_out: bool = True) -> None:
    """Take a scale_down, and carry it out if it is to be. Any thread.

    One that cannot be taken is left to its reader. Raises an error of Redis itself.
    """
    try:
        intake.accept_down(entry, carry_out=carry_out)
    except BadEvent:
        left_alone(entry, "a bad event is dead-lettered when it is read")
    except Fenced:
        left_alone(entry, "it was taken meanwhile")
    except OF_REDIS_ITSELF:
        raise
    except RedisError as error:
        left_alone(entry, f"it is tried again when it is read: {error}")


def takes_a_task_away(entry: Entry) -> bool:
    """Whether it is a scale_down of a task, whose later workers it takes away too."""
    return _is_scale_down(entry) and _tells(entry, b"task_id")


def needs_no_list(entry: Entry) -> bool:
    """Whether it is a scale_down that takes the same workers whether or not their Pods can be listed."""
    return _is_scale_down(entry) and not _tells(entry, b"running")


def _is_scale_down(entry: Entry) -> bool:
    return (b"type", b"scale_down") in (entry.fields or ())


def _tells(entry: Entry, field: bytes) -> bool:
    return any(name == field and value for name, value in entry.fields or ())


def left_alone(entry: Entry, why: str) -> None:
    """Log that an entry is left to others."""
    log.debug("event_left_alone", why, event_id=entry.id, task_id=raw_task_id(entry.fields or ()))
