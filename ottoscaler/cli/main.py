"""From arguments to a subcommand, and from its result to an exit code.

One module for each subcommand, imported only when it is asked for: the service must not wait for what only
its operator needs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module
from types import FrameType

from ottoscaler.cli.arguments import parse
from ottoscaler.cli.serve import SIGNALS, complain, end, serve
from ottoscaler.cli.terminal import write_anything
from ottoscaler.errors import BadSettings

_MODULES = {"resume": "pause"}  # of the other subcommands, the name is the module's

INTERRUPTED = 130  # as shells have it: 128 and the signal's number
TERMINATED = 143


def run(argv: list[str] | None = None) -> None:
    """Carry out the command line and end the process with its exit code."""
    write_anything()
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
    from ottoscaler.client import BadRequest, ClientError

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
    except BadRequest as error:
        complain([str(error)])
        return 2
    except (Failed, ClientError) as error:
        complain([str(error)])
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing more can be flushed to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _carry_out(arguments: argparse.Namespace) -> int:
    if arguments.command == "demo":
        from ottoscaler.cli import demo

        return demo.demo(os.environ, stay=arguments.page)
    module = import_module(f"ottoscaler.cli.{_MODULES.get(arguments.command, arguments.command)}")
    code: int = module.main(arguments, os.environ)
    return code


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
