"""``wait``: attaches to an event that was sent before, by whoever."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.follow import follow
from ottoscaler.client import Client


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """0: the event succeeded; 1: it did not, or nobody knows it."""
    with Client.from_environment(environ) as client:
        ended = follow(client, arguments.id, arguments.timeout)
    return 0 if ended is not None and ended.status == "succeeded" else 1
