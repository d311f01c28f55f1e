"""Arguments to subcommands, and their results to exit codes."""

from __future__ import annotations

import argparse
import os
import sys

from ottoscaler import __version__
from ottoscaler.cli.serve import end, serve

EPILOG = """\
exit codes: 0 a stop that was asked for, or success; 1 a thread died, a part would not stop, or what was
asked for failed; 2 wrong usage or settings, or a live twin under the same consumer name.
Settings come from the environment: `check` lists them with their values."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="ottoscaler",
        description="Turns events on a Redis Stream into worker Pods on Kubernetes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"ottoscaler {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="serve until SIGTERM or SIGINT (the default)")
    return top


def run(argv: list[str] | None = None) -> None:
    """Carry out the command line and end the process with its exit code."""
    arguments = parser().parse_args(sys.argv[1:] if argv is None else argv)
    if arguments.command in (None, "run"):
        end(serve(os.environ))
