"""From arguments to a subcommand, and from its result to an exit code.

One module for each subcommand, imported only when it is asked for: the service must not wait for what only
its operator needs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

from ottoscaler.cli.arguments import parse
from ottoscaler.cli.serve import SIGNALS, complain, end, serve
from ottoscaler.errors import BadSettings

INTERRUPTED = 130  # as shells have it: 128 and the signal's number
TERMINATED = 143


def run(argv: list[str] | None = None) -> None:
    """Carry out the command line and end the process with its exit code."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as ended:  # --help, or wrong usage
        end(ended.code if isinstance(ended.code, int) else 2)
        return
    if arguments.command in (None, "run"):
        end(serve(os.environ))
        return
    end(_tool(arguments))


def _tool(arguments: argparse.Namespace) -> int:
    """A subcommand that is not the service: signals end it, and no error of ours shows a stack trace."""
    from ottoscaler.cli.redis_access import Failed

    try:
        signal.signal(signal.SIGTERM, _terminated)
        # a shell without job control starts what it puts in the background with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # The service's first act was to block them (ottoscaler.__main__).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        code = _carry_out(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except BadSettings as error:
        complain(error.problems)
        return 2
    except Failed as error:
        complain([str(error)])
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing more can be flushed to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _carry_out(arguments: argparse.Namespace) -> int:
    if arguments.command == "check":
        from ottoscaler.cli import check

        return check.main(os.environ)
    if arguments.command == "send":
        from ottoscaler.cli import send

        return send.main(arguments, os.environ)
    if arguments.command == "status":
        from ottoscaler.cli import status

        return status.main(arguments, os.environ)
    if arguments.command == "dead":
        from ottoscaler.cli import dead

        return dead.main(arguments, os.environ)
    from ottoscaler.cli import demo

    return demo.demo(os.environ)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
