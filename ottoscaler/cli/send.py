"""``send``: adds an event to the stream, and may follow it to its end.

If the service's settings are present, its own rules check the event before it is sent. Without them, its
limits are not known. Then this refuses only what every service refuses; the service decides about the rest.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence

from ottoscaler.cli.follow import LONGEST_SENTENCE, follow
from ottoscaler.cli.redis_access import settings_without_kubernetes
from ottoscaler.cli.terminal import safe, say
from ottoscaler.client import BadRequest, Client
from ottoscaler.client.fields import check
from ottoscaler.config import limits as policy
from ottoscaler.config.settings import NAMES, Settings, variable
from ottoscaler.errors import BadEvent, BadTemplate
from ottoscaler.events.parse import parse_event
from ottoscaler.model import Event, ScaleUp
from ottoscaler.pods.plan import plan
from ottoscaler.pods.templates import load_templates

Pairs = Sequence[tuple[bytes, bytes]]


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0 if the event was sent (with ``--wait``: if it succeeded), 1 if it failed or could not be
    sent, and 2 if it breaks a rule."""
    remote = far(environ) if arguments.remote is None else arguments.remote
    settings = None if remote else settings_without_kubernetes(environ)
    try:
        fields = pairs(arguments.type, arguments.fields)
        event = check(fields) if settings is None else accept(fields, settings)
    except (BadEvent, BadTemplate, BadRequest) as error:
        say(f"not sent: {safe(str(error), LONGEST_SENTENCE)}")
        return 2
    with Client.from_environment(environ) as client:
        event_id = client.send(fields)
        print(event_id, flush=True)
        if not arguments.wait:
            return 0
        total = event.pod_count if isinstance(event, ScaleUp) else 0
        ended = follow(client, event_id, arguments.timeout, total)
    return 0 if ended is not None and ended.status == "succeeded" else 1


def far(environ: Mapping[str, str]) -> bool:
    """Whether the environment has no setting of the service, so that its limits are not known here."""
    own = [variable(name) for name in NAMES if variable(name).startswith("OTTO_")]
    return not any(environ.get(name) for name in own)


def pairs(event_type: str, words: Sequence[str]) -> Pairs:
    """The event's fields as bytes, exactly as they were typed. Raises BadEvent for a word without ``=``."""
    fields = [(b"type", os.fsencode(event_type))]
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadEvent(f"{word!r} is not FIELD=VALUE, such as pod_count=3")
        fields.append((os.fsencode(name), os.fsencode(value)))
    return fields


def accept(fields: Pairs, settings: Settings) -> Event:
    """The event as the service would read it. Raises BadEvent if the service would dead-letter the event, and
    BadTemplate if the service would not start."""
    event = parse_event(
        f"{int(time.time() * 1000)}-0",  # like Redis's id: its length counts in Pod names
        fields,
        policy.limits(settings),
    )
    if isinstance(event, ScaleUp):
        templates = load_templates(settings.templates_dir or None, agent_image=settings.agent_image)
        plan(event, templates.get(event.profile), policy.pod_defaults(settings))
    return event
