"""``wait``: waits for an event that was sent before, by anybody."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.follow import follow
from ottoscaler.client import Client


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0 if the event succeeded, and 1 if it did not or nobody knows it."""
    with Client.from_environment(environ) as client:
        ended = follow(client, arguments.id, arguments.timeout)
    return 0 if ended is not None and ended.status == "succeeded" else 1
