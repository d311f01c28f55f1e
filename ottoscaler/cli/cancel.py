"""``cancel``: sends a scale_down of a task and waits for its end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.follow import follow
from ottoscaler.cli.terminal import safe, say
from ottoscaler.client import Client


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0 if the task's workers are gone, also if there were none, and 1 if they may still be there."""
    with Client.from_environment(environ) as client:
        event_id = client.cancel(arguments.task, keep_running=arguments.keep_running, wait=False)
        print(event_id, flush=True)
        ended = follow(client, event_id, arguments.timeout)
    if ended is None or ended.status != "succeeded":
        return 1
    if not ended.cancelled:
        spared = " but those that run" if arguments.keep_running else ""
        unread = "what was sent of it before and is not read yet never runs"
        say(f"task {safe(arguments.task)} has no worker left to cancel{spared}; {unread}")
    return 0
