"""``python -m ottoscaler.local``: runs a local Kubernetes API and Redis until a signal."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from ottoscaler.errors import OttoscalerError
from ottoscaler.local import shell
from ottoscaler.local.cluster import LocalCluster
from ottoscaler.local.node.machine import ServerOptions
from ottoscaler.local.service import Service, ServiceFailed
from ottoscaler.local.short_collections import shorten_collections
from ottoscaler.local.stop_signals import stop_signals

_DESCRIPTION = """\
Starts a small Kubernetes cluster and a Redis on loopback, and the service on
both, and keeps them until Ctrl-C or SIGTERM, or until its terminal is closed.

It prints one line for the shell (KUBECONFIG, REDIS_URL, and a PATH with
redis-cli and this Python in front), what to type next, and then the service's
log. With --exec it runs one command with these variables, and ends with it;
the service's log is DIR/service.log then.

Settings of the service, such as OTTO_MAX_WORKERS, come from the environment.

examples:
    python -m ottoscaler.local up --dir /tmp/otto
    python -m ottoscaler.local up --exec kubectl get nodes
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see --help\n")
        sys.exit(2)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 (any free one) to 65535, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"a number of nodes from 0 to 1000 is expected, not {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line's parser. Wrong usage exits with 2 and one sentence."""
    root = _Parser(
        prog="python -m ottoscaler.local",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    up = commands.add_parser(
        "up",
        help="start it, and stay until a signal",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument(
        "--simulated",
        action="store_true",
        help="run no containers: Pods go as their sim/... annotations or SIM_... variables say",
    )
    up.add_argument(
        "--port", type=_port, default=0, metavar="N", help="of the Kubernetes API (default: a free one)"
    )
    up.add_argument("--redis-port", type=_port, default=0, metavar="N", help="of Redis (default: a free one)")
    up.add_argument("--no-redis", action="store_true", help="start no Redis, and so no service")
    up.add_argument("--no-service", action="store_true", help="start no service")
    up.add_argument("--nodes", type=_count, default=1, metavar="N", help="how many fake nodes (default: 1)")
    up.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="for kubeconfig, Redis's data and logs; kept (default: temporary)",
    )
    up.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="write the line for the shell to FILE while it runs, instead of printing it",
    )
    up.add_argument(
        "--exec",
        nargs=argparse.REMAINDER,
        metavar="CMD",
        help="run CMD (all that follows) and exit with its code",
    )
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the process's exit code."""
    options = parser().parse_args(arguments)
    if options.exec is not None and not options.exec:
        sys.stderr.write("python -m ottoscaler.local: --exec needs a command behind it; see --help\n")
        return 2
    # Signals are blocked before any thread starts, so that only the waiting main thread receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _awaited())
    cluster = LocalCluster(
        "simulated" if options.simulated else "process",
        ServerOptions(port=options.port),
        redis=not options.no_redis,
        directory=options.dir,
        redis_port=options.redis_port,
        nodes=options.nodes,
    )
    shorten_collections()
    try:
        cluster.start()
    except (OSError, OttoscalerError) as error:
        return _fail(error)
    try:
        return _serve(cluster, options)
    except (OSError, OttoscalerError) as error:
        return _fail(error)
    finally:
        cluster.stop()


def _fail(error: Exception) -> int:
    text = re.sub(r"^\[Errno \d+\] ", "", str(error))  # a number tells a person nothing
    sys.stderr.write(f"python -m ottoscaler.local: {text}\n")
    return 1


def _serve(cluster: LocalCluster, options: argparse.Namespace) -> int:
    """Run the service on the cluster until the command ends, or until a signal if there is no command."""
    redis_url = "" if options.no_redis else cluster.redis_url
    programs = shell.write_programs(cluster.directory, redis_url) if redis_url else None
    found = shell.variables(cluster.kubeconfig_path, redis_url, programs)
    with ExitStack() as held:
        service = None
        if redis_url and not options.no_service:
            log = None
            if options.exec is not None:
                log = held.enter_context((cluster.directory / "service.log").open("wb"))
            service = Service(found["KUBECONFIG"], redis_url, os.environ, log)
            held.callback(service.stop)
            service.start()
        if options.exec is not None:
            return _run(options.exec, shell.environment(os.environ, found))
        line = shell.export_line(found)
        first = "In another terminal, that line and then, for example:"
        if options.env_file is None:
            sys.stdout.write(f"{line}\n\n")
        else:
            options.env_file.write_text(f"{line}\n")
            held.callback(_remove, options.env_file, f"{line}\n")
            first = f"In another terminal:\n\n    . {shlex.quote(str(options.env_file.absolute()))}"
        url = service.url if service is not None else ""
        sys.stdout.write(shell.what_next(first, url, redis=bool(redis_url)))
        sys.stdout.flush()
        return _wait(service)


def _remove(file: Path, text: str) -> None:
    """Remove the file, unless another local cluster has written its own by now."""
    if file.exists() and file.read_text() == text:
        file.unlink()


def _wait(service: Service | None) -> int:
    """Wait for a signal and return 0. Raises ServiceFailed if the service ends first."""
    while signal.sigwait(_awaited()) == signal.SIGCHLD:
        if service is not None and service.exit_code is not None:
            raise ServiceFailed(f"the service ended with exit code {service.exit_code}")
    return 0


def _run(command: list[str], env: dict[str, str]) -> int:
    """Run the command in the foreground and return its exit code. Signals to this process are passed on."""
    try:
        process = subprocess.Popen(command, env=env, preexec_fn=_unblock)  # noqa: PLW1509  one system call
    except OSError as error:
        sys.stderr.write(f"python -m ottoscaler.local: {command[0]}: {error.strerror}\n")
        return 127
    while True:
        number = signal.sigwait(_awaited())
        if number != signal.SIGCHLD:
            process.send_signal(number)
        elif process.poll() is not None:
            code = process.returncode
            return code if code >= 0 else 128 - code


def _awaited() -> set[signal.Signals]:
    return {signal.SIGCHLD, *stop_signals()}


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


if __name__ == "__main__":
    sys.exit(main())
