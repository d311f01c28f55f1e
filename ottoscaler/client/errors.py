"""What the client raises. Every one is a :class:`ClientError`, and its text is a sentence for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ottoscaler.errors import OttoscalerError

if TYPE_CHECKING:
    from ottoscaler.client.entries import DeadLetter


class ClientError(OttoscalerError):
    """The base class of all errors that the client raises."""


class BadRequest(ClientError, ValueError):
    """An argument is wrong. Nothing was sent."""


class RedisFailed(ClientError):
    """Redis was not reached, or refused. The text says what was tried and what to do; it holds no secret."""


class OutcomeUnknown(RedisFailed):
    """Redis gave no answer to an event that was sent, so it may be on the stream or not."""


class UnknownEvent(ClientError):
    """No stream and no ledger knows the event: it was never sent here, or is past the retention time."""


class WaitTimeout(ClientError, TimeoutError):
    """The event has not ended within the time limit. It goes on."""


class DeadLettered(ClientError):
    """The event could not be carried out. ``letter`` says why; it is ``None`` if it was dropped already."""

    def __init__(self, message: str, letter: DeadLetter | None = None) -> None:
        super().__init__(message)
        self.letter = letter
