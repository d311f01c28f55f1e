"""The way of an event's bytes to the stream: sent again where that cannot run it twice."""

from __future__ import annotations

import time

from ottoscaler.client import fields as event_fields
from ottoscaler.client.connection import Connection
from ottoscaler.client.errors import OutcomeUnknown, RedisFailed
from ottoscaler.client.fields import Fields
from ottoscaler.client.sentences import sentence
from ottoscaler.errors import NotPermitted, RedisError, RedisUnavailable

SENDS = 3  # of one event whose dedup_key makes sure that it runs once
AWAY_SECONDS = 1.0  # between two of them

_IN_DOUBT = " It is unknown whether the event was added; look for it before you send it again."


def send(connection: Connection, fields: Fields) -> str:
    """Append an event; its id. Raises BadRequest, OutcomeUnknown and RedisFailed, as Client.scale_up says."""
    event_fields.check(fields)
    connection.call(lambda: _reached(connection))
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
            # Else Redis answered with a refusal.
            if isinstance(error, RedisUnavailable) and "is unavailable" in str(error):
                doubt = _IN_DOUBT
                if tries:
                    time.sleep(AWAY_SECONDS)
                    continue
            raised = OutcomeUnknown if doubt else RedisFailed
            raise raised(sentence(connection.settings, error) + doubt) from error


def _reached(connection: Connection) -> None:
    """Before an event is sent, so that a connection that cannot be made leaves no doubt about it."""
    try:
        connection.redis.command("PING")
    except NotPermitted:  # a producer's rights may be XADD alone
        return
