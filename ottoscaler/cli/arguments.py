"""Declares the command line. Each subcommand has a function here and a module of its own name."""

from __future__ import annotations

import argparse

from ottoscaler import __version__
from ottoscaler.cli import producer_commands as producers
from ottoscaler.cli.argument_kinds import Commands, Help, command, count, entry_id, positive

SHELLS = ("bash", "zsh", "fish")

EPILOG = """\
exit codes:
  0    success, or a requested stop
  1    the command failed; of run: a thread died, or a part did not stop
  2    wrong usage or settings, or another live process with this consumer name
  130  Ctrl-C (143: SIGTERM); of run, both are a requested stop

Settings come from the environment: `check` lists them with their values."""


def _run(commands: Commands) -> None:
    command(
        commands,
        "run",
        "serve until SIGTERM or SIGINT (the default)",
        """\
Runs the service until SIGTERM or SIGINT. A stop hands over what has no running worker, and waits for running
workers for OTTO_SHUTDOWN_GRACE_SECONDS at most; a second signal hands over everything at once.

Exit code 0: a requested stop. 1: a thread died, or a part did not stop. 2: wrong settings, or another live
process with this consumer name.

docs/settings.md lists the settings.""",
    )


def _check(commands: Commands) -> None:
    check = command(
        commands,
        "check",
        "list the settings; test templates, Redis and Kubernetes; change nothing",
        """\
Lists all settings with their values (secrets masked), then tests the templates, Redis and Kubernetes.
Nothing is changed: templates are tested by the API server's dry run.

Each line is ok, a warning (it works, but is probably a mistake) or a problem (it will not work), with advice.
Exit code 0: no problem. 1: something does not work. 2: wrong settings or templates; the service would
not start.

example, with the settings of the running service:
  kubectl exec deploy/ottoscaler -- python -m ottoscaler check""",
    )
    check.add_argument("--json", action="store_true", help="one JSON document, with schema_version")


def _status(commands: Commands) -> None:
    status = command(
        commands,
        "status",
        "replicas, events in flight, failures, dead letters",
        """\
Shows what Redis knows: the replicas and whether their heartbeats move, the events in flight with their
workers, the backlog, the latest failures, and the dead letters. Changes nothing, needs only Redis, and works
while the service is down. Takes up to two heartbeats (about 2 s), because only a second look shows whether
a heartbeat moves.

examples:
  ottoscaler status
  ottoscaler status --watch 5
  ottoscaler status --web
  ottoscaler status --json | jq '.events[] | {event_id, age_seconds}'

docs/cli.md describes the JSON.""",
    )
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document, with schema_version")
    form.add_argument(
        "--web", action="store_true", help="print the address of the status page, and nothing else"
    )
    status.add_argument(
        "--watch",
        type=positive,
        metavar="SECONDS",
        nargs="?",
        const=2.0,
        help="repeat every 2 s or SECONDS until Ctrl-C (with --json: one line each time)",
    )


def _dead(commands: Commands) -> None:
    dead = command(
        commands,
        "dead",
        "list, replay or drop dead letters",
        """\
Dead letters are events that could not be run, each with a sentence that says why.

examples:
  ottoscaler dead list
  ottoscaler dead replay 1717430400000-0
  ottoscaler dead drop --all

docs/operations.md lists the reasons.""",
    )
    verbs = dead.add_subparsers(dest="verb", metavar="list|replay|drop", required=True)
    shown = command(
        verbs, "list", "show dead letters, the newest first", "Shows dead letters, the newest first."
    )
    shown.add_argument("--json", action="store_true", help="one JSON document, with schema_version")
    shown.add_argument(
        "--count", type=count, default=20, metavar="N", help="how many at most (default %(default)s)"
    )
    _on_dead_letters(
        verbs,
        "replay",
        "put an event back on the stream",
        """\
Puts each event back on the stream with its own fields under a new id, and removes the dead letter, in one
step; prints "old id -> new id". An event that still breaks a rule comes back as a dead letter.

example:
  ottoscaler dead replay 1717430400000-0""",
    )
    _on_dead_letters(
        verbs,
        "drop",
        "remove dead letters",
        "Removes dead letters for good.\n\nexample:\n  ottoscaler dead drop 1717430400000-0",
    )


def _on_dead_letters(verbs: Commands, verb: str, summary: str, text: str) -> None:
    """Add a verb that takes dead letters by their ids, or all of them."""
    one = command(verbs, verb, summary, text)
    one.add_argument(
        "ids",
        metavar="ID",
        type=entry_id,
        nargs="*",
        default=[],
        help="the dead letter's id, or its event's",
    )
    one.add_argument("--all", action="store_true", help="all dead letters")


def _demo(commands: Commands) -> None:
    demo = command(
        commands,
        "demo",
        "run a demonstration here, without a cluster",
        """\
Starts a local Kubernetes API, Redis and the service, and shows three events on the terminal: three
workers, one that fails, and a burst. Takes under two minutes and leaves nothing running.

examples:
  ottoscaler demo
  ottoscaler demo --page""",
    )
    demo.add_argument(
        "--page",
        action="store_true",
        help="keep the status page open at the end, until Ctrl-C",
    )


def _pause(commands: Commands) -> None:
    command(
        commands,
        "pause",
        "start no worker until `resume`",
        """\
Within 2 s, no replica reads events or starts a worker, also not for a retry. Running workers go on and are
recorded, scale_downs are carried out, and events wait in the stream. The pause survives restarts; `status`
shows it.

example:
  ottoscaler pause""",
    )
    command(
        commands,
        "resume",
        "end a pause",
        """\
The replicas read events and begin workers again.

example:
  ottoscaler resume""",
    )


def _completion(commands: Commands) -> None:
    completion = command(
        commands,
        "completion",
        "print a script that completes this command line",
        """\
Prints the script for a shell. It needs the package shtab (`pip install shtab`).

examples:
  eval "$(ottoscaler completion bash)"
  ottoscaler completion zsh > "${fpath[1]}/_ottoscaler"
  ottoscaler completion fish > ~/.config/fish/completions/ottoscaler.fish""",
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")


def parser() -> argparse.ArgumentParser:
    """The parser for the whole command line."""
    top = argparse.ArgumentParser(
        prog="ottoscaler",
        description="Reads events from a Redis Stream and runs worker Pods for them on Kubernetes.",
        epilog=EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"ottoscaler {__version__}")
    top.set_defaults(complain=top.error)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for add in (
        _run,
        _check,
        producers.send,
        producers.wait,
        producers.results,
        producers.logs,
        producers.cancel,
        _status,
        _dead,
        _pause,
        _completion,
        _demo,
    ):
        add(commands)
    return top


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse ``argv``. Wrong arguments end the process with exit code 2."""
    arguments, rest = parser().parse_known_args(argv)
    # argparse finds a list of values only in one piece, but people write `send scale_up --wait pod_count=1`.
    if rest and not any(word.startswith("-") for word in rest):
        if arguments.command == "send":
            arguments.fields, rest = [*arguments.fields, *rest], []
        elif arguments.command == "dead" and arguments.verb != "list":
            arguments.ids, rest = [*arguments.ids, *_ids(arguments, rest)], []
    if rest:
        arguments.complain(f"unrecognized arguments: {' '.join(rest)}")
    if arguments.command == "dead" and arguments.verb != "list" and bool(arguments.ids) == arguments.all:
        arguments.complain("give ids or --all, and not both")
    # Ending with 0 at once would be taken for a success within that time.
    if arguments.command == "send" and arguments.timeout and not arguments.wait:
        arguments.complain("--timeout needs --wait")
    return arguments


def _ids(arguments: argparse.Namespace, words: list[str]) -> list[str]:
    try:
        return [entry_id(word) for word in words]
    except argparse.ArgumentTypeError as error:
        arguments.complain(str(error))
        raise
