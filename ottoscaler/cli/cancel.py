"""``cancel``: a scale_down of a task that is waited for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.follow import follow
from ottoscaler.cli.terminal import safe
from ottoscaler.client import Client


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """0: the task's workers are gone, though there may have been none; 1: they may not be."""
    with Client.from_environment(environ) as client:
        event_id = client.cancel(arguments.task, keep_running=arguments.keep_running, wait=False)
        print(event_id, flush=True)
        ended = follow(client, event_id, arguments.timeout)
    if ended is None or ended.status != "succeeded":
        return 1
    if not ended.cancelled:
        print(f"task {safe(arguments.task)} has no worker left to cancel", flush=True)
    return 0
