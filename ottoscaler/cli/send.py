"""``send``: checks an event by the service's own rules, adds it to the stream, and may follow it to its
end."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence

from ottoscaler.cli.follow import Following
from ottoscaler.cli.redis_access import Failed, settings_without_kubernetes
from ottoscaler.cli.terminal import safe, say
from ottoscaler.client.sentences import sentence
from ottoscaler.config import limits as policy
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BadEvent, BadTemplate, RedisError, RedisUnavailable
from ottoscaler.events.parse import parse_event
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Event, ScaleUp
from ottoscaler.pods.plan import plan
from ottoscaler.pods.templates import load_templates

LONGEST_WAIT_SECONDS = 86_400.0  # without --timeout: the default of OTTO_MAX_TIMEOUT_SECONDS
LONGEST_REASON = 2000  # characters of an event's problems

Pairs = Sequence[tuple[bytes, bytes]]


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """0: sent (and with ``--wait``: succeeded); 1: it failed or cannot be sent; 2: it breaks a rule."""
    settings = settings_without_kubernetes(environ)
    try:
        fields = pairs(arguments.type, arguments.fields)
        event = accept(fields, settings)
    except (BadEvent, BadTemplate) as error:
        say(f"not sent: {safe(str(error), LONGEST_REASON)}")
        return 2
    redis = RedisClient(settings)
    following = None
    if arguments.wait:
        following = Following(redis, settings, event)
        _or_failed(settings, following.begin)
    event_id = add(redis, settings, fields)
    print(event_id, flush=True)
    if following is None:
        return 0
    return following.follow(event_id, arguments.timeout or LONGEST_WAIT_SECONDS)


def pairs(event_type: str, words: Sequence[str]) -> Pairs:
    """The event's fields as bytes, just as they were typed. Raises BadEvent for a word without ``=``."""
    fields = [(b"type", os.fsencode(event_type))]
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadEvent(f"{word!r} is not FIELD=VALUE")
        fields.append((os.fsencode(name), os.fsencode(value)))
    return fields


def accept(fields: Pairs, settings: Settings) -> Event:
    """The event as the service would read it. Raises BadEvent as the service would dead-letter it, and
    BadTemplate where it would not start."""
    event = parse_event(
        f"{int(time.time() * 1000)}-0",  # about as Redis will name it: its length counts in Pod names
        fields,
        policy.limits(settings),
    )
    if isinstance(event, ScaleUp):
        templates = load_templates(settings.templates_dir or None, agent_image=settings.agent_image)
        plan(event, templates, policy.pod_defaults(settings))
    return event


def add(redis: RedisClient, settings: Settings, fields: Pairs) -> str:
    """XADD; the event's id. Raises Failed, saying whether the event may be there all the same."""
    _or_failed(settings, lambda: redis.command("PING"))
    flat = [part for pair in fields for part in pair]
    try:
        answer = redis.command("XADD", settings.redis_stream, "*", *flat)
    except RedisUnavailable as error:
        unknown = "is unavailable" in str(error)  # else Redis answered with a refusal
        doubt = " It is unknown whether the event was added; check `status` before you send it again."
        raise Failed(sentence(settings, error) + (doubt if unknown else "")) from error
    except RedisError as error:
        raise Failed(sentence(settings, error)) from error
    return str(answer.decode())


def _or_failed(settings: Settings, act: Callable[[], object]) -> None:
    try:
        act()
    except RedisError as error:
        raise Failed(sentence(settings, error)) from error
