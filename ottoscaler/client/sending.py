"""Sends an event's bytes to the stream, again if there was no answer and it cannot run twice."""

from __future__ import annotations

import time
from contextlib import suppress

from ottoscaler.client import fields as event_fields
from ottoscaler.client.connection import Connection
from ottoscaler.client.errors import OutcomeUnknown, RedisFailed
from ottoscaler.client.fields import Fields
from ottoscaler.client.sentences import sentence
from ottoscaler.errors import NoAnswer, NotPermitted, RedisError

SENDS = 3  # attempts to send one event whose dedup_key makes sure that it runs once
AWAY_SECONDS = 1.0  # between two attempts

_IN_DOUBT = " It is unknown whether the event was added; look for it before you send it again."


def send(connection: Connection, fields: Fields) -> str:
    """Append an event and return its id. Raises BadRequest, OutcomeUnknown and RedisFailed, as
    Client.scale_up says."""
    event_fields.check(fields)
    _reach(connection)
    fields = event_fields.with_dedup_key(fields)
    flat = [part for pair in fields for part in pair]
    tries = SENDS if b"dedup_key" in dict(fields) else 1
    doubt = ""
    while True:
        tries -= 1
        try:
            reply = connection.redis.command("XADD", connection.settings.redis_stream, "*", *flat)
            return str(reply.decode())
        except RedisError as error:
            if isinstance(error, NoAnswer):  # any other is a refusal
                doubt = _IN_DOUBT
                if tries:
                    time.sleep(AWAY_SECONDS)
                    continue
            raised = OutcomeUnknown if doubt else RedisFailed
            raise raised(sentence(connection.settings, error) + doubt) from error


def _reach(connection: Connection) -> None:
    """Connect before an event is sent: if that fails, the event is certainly not on the stream."""
    with connection.told(), suppress(NotPermitted):  # a producer may have no right but XADD
        connection.redis.command("PING")
    connection.answered()
