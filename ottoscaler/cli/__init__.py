"""The command line: arguments and exit codes."""

from ottoscaler.cli.main import run

__all__ = ["run"]
