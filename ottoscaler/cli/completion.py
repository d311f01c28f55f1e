"""``completion``: a script that completes the command line in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ottoscaler.cli.arguments import parser
from ottoscaler.cli.redis_access import Failed


def main(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """0: the script is on standard output; 1: the package that writes it is missing."""
    try:
        import shtab
    except ImportError:
        raise Failed(
            "completion needs the package shtab; install it with: pip install 'ottoscaler[cli]'"
        ) from None
    print(shtab.complete(parser(), shell=arguments.shell))
    return 0
