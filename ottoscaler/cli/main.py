"""Runs the subcommand that the arguments name, and ends with its exit code.

Each subcommand has a module, which is imported only when it is used, so that the service does not wait for
imports that only its operator needs.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import signal
import sys
import threading
from importlib import import_module
from types import FrameType

from ottoscaler.cli.arguments import parse
from ottoscaler.cli.serve import SIGNALS, complain, end, serve
from ottoscaler.cli.terminal import open_closed_streams, write_anything
from ottoscaler.errors import BadSettings

_MODULES = {"resume": "pause"}  # every other subcommand has a module of its own name

# What a write to an output stream fails with; all else that fails has errors of our own.
_UNWRITABLE = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

INTERRUPTED = 130  # 128 plus the signal's number, as in shells
TERMINATED = 143


def run(argv: list[str] | None = None) -> None:
    """Carry out the command line and end the process with its exit code."""
    open_closed_streams()
    write_anything()
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
    except SystemExit as ended:  # --help, or wrong usage
        end(ended.code if isinstance(ended.code, int) else 2)
        return
    if arguments.command in (None, "run"):
        end(serve(os.environ))
        return
    if getattr(arguments, "follow", False) or getattr(arguments, "watch", None) is not None:
        threading.Thread(target=_end_without_reader, name="reader", daemon=True).start()
    end(_tool(arguments))


def _end_without_reader() -> None:
    """End the process once nobody reads its output any more. A following command would else notice that only
    when it has something to write, which may take hours."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # only for what is always reported, as that a pipe has no reader
    if any(happened & (select.POLLERR | select.POLLHUP) for _, happened in poll.poll()):
        end(1)


def _tool(arguments: argparse.Namespace) -> int:
    """Run a subcommand that is not the service. Signals end it, and our own errors show no stack trace."""
    from ottoscaler.cli.redis_access import Failed
    from ottoscaler.client import BadRequest, ClientError

    try:
        signal.signal(signal.SIGTERM, _terminated)
        # A shell without job control makes its background processes ignore SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # ottoscaler.__main__ has blocked them for the service.
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
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        # Nothing more can be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # a reader that has read enough needs no sentence
            complain([f"the output cannot be written: {error.strerror}"])
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
