"""``completion``: a script that completes the command line in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.arguments import parser
from ottoscaler.cli.redis_access import Failed
from ottoscaler.telemetry.metric_specs import TYPES


def main(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """Returns 0 if the script is on standard output, and 1 if the package that writes it is missing."""
    try:
        import shtab
    except ImportError:
        raise Failed("completion needs the package shtab; install it with: pip install shtab") from None
    top = parser()
    _in_one_line_each(top)
    print(shtab.complete(top, shell=arguments.shell))
    return 0


def _in_one_line_each(parser: argparse.ArgumentParser) -> None:
    """Keep only the summary of each subcommand. shtab shows the first line of a description, which would end
    in the middle of a sentence.

    Only here does ``send`` get the event types as choices. In use, the event's own rules give better errors.
    """
    for action in parser._actions:
        if action.dest == "type":
            action.choices = TYPES
        if isinstance(action, argparse._SubParsersAction):
            for made in action.choices.values():
                made.description = None
                _in_one_line_each(made)
