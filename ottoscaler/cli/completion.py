"""``completion``: a script that completes the command line in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.arguments import parser
from ottoscaler.cli.redis_access import Failed
from ottoscaler.telemetry.metric_specs import TYPES


def main(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """0: the script is on standard output; 1: the package that writes it is missing."""
    try:
        import shtab
    except ImportError:
        raise Failed(
            "completion needs the package shtab; install it with: pip install 'ottoscaler[cli]'"
        ) from None
    top = parser()
    _in_one_line_each(top)
    print(shtab.complete(top, shell=arguments.shell))
    return 0


def _in_one_line_each(parser: argparse.ArgumentParser) -> None:
    """Leave each subcommand its summary: shtab shows a description's first line, which ends in mid-sentence.

    ``send`` gets the types as choices here alone, because the event's own rules say better what is wrong.
    """
    for action in parser._actions:
        if action.dest == "type":
            action.choices = TYPES
        if isinstance(action, argparse._SubParsersAction):
            for made in action.choices.values():
                made.description = None
                _in_one_line_each(made)
