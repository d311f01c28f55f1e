"""``pause`` and ``resume``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.redis_access import Failed, redis_settings
from ottoscaler.client.sentences import sentence
from ottoscaler.errors import RedisError
from ottoscaler.ledger.pause import pause, paused_since, resume
from ottoscaler.ledger.redis_client import RedisClient


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0: the instance is now paused or resumed, even if it was so before."""
    settings = redis_settings(environ)
    redis = RedisClient(settings)
    try:
        if arguments.command == "resume":
            text = "resumed" if resume(redis) else "not paused"
        elif pause(redis):
            text = "paused; no worker is begun until `ottoscaler resume`"
        else:
            text = f"paused already, since {paused_since(redis) or 'a moment ago'}"
    except RedisError as error:
        raise Failed(sentence(settings, error)) from error
    print(f"{settings.redis_stream}, group {settings.redis_consumer_group}: {text}")
    return 0
