"""What the command line understands. Each subcommand has a function here and a module of its own name."""

from __future__ import annotations

import argparse
import re
from typing import TypeAlias

from ottoscaler import __version__

EPILOG = """\
exit codes: 0 a requested stop, or success; 1 a thread died, a part did not stop, or the
command failed; 2 wrong usage or settings, or another live process uses the same consumer name; 130 Ctrl-C.
Settings come from the environment: `check` lists them with their values."""

LONGEST_WORD_SHOWN = 80  # characters of a wrong word that an error repeats
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")  # two numbers below 2**64, as Redis writes them

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _command(commands: _Commands, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=text.partition("\n\n")[0],
        epilog=text.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to 1000000")
    return int(text)


def _check(commands: _Commands) -> None:
    _command(
        commands,
        "check",
        "list the settings; test templates, Redis and Kubernetes, changing nothing",
        """\
Lists all settings with their values (secrets masked), then tests the templates, Redis and Kubernetes.
Nothing is changed: templates are tested by the API server's dry run.

Each line is ok, a warning (it works, but is probably a mistake) or a problem (it will not work), with advice.
Exit code 0: no problem. 1: something does not work. 2: wrong settings or templates; the service would
not start.

example, with the settings of the running service:
  kubectl exec deploy/ottoscaler -- python -m ottoscaler check""",
    )


def _send(commands: _Commands) -> None:
    send = _command(
        commands,
        "send",
        "put an event on the stream, and with --wait follow it to its result",
        """\
Checks an event by the service's own rules, adds it to the stream, and prints its id on standard output. With
--wait, each worker's end and a progress bar (on a terminal) go to standard error.

Without --wait: exit code 0 once the event is on the stream. With it: 0 if the event succeeded; 1 if it
failed, was cancelled in part or in whole, was dead-lettered, or the time limit passed (the event is then
still running). 2: the event breaks a rule and was not sent.

examples:
  ottoscaler send scale_up pod_count=3 task_id=build-17
  ottoscaler send scale_up pod_count=1 command='echo hello' --wait --timeout 60
  ottoscaler send scale_down task_id=build-17 running=keep

docs/events.md lists the fields.""",
    )
    send.add_argument("type", metavar="TYPE", help="scale_up or scale_down")
    # A default, or argparse would call it required.
    send.add_argument("fields", metavar="FIELD=VALUE", nargs="*", default=[], help="the event's fields")
    send.add_argument("--wait", action="store_true", help="follow the event to its end")
    send.add_argument(
        "--timeout",
        type=_positive,
        metavar="SECONDS",
        help="how long --wait waits (default: a day, the longest run limit)",
    )


def _status(commands: _Commands) -> None:
    status = _command(
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
  ottoscaler status --json | jq '.events[] | {event_id, age_seconds}'

docs/cli.md describes the JSON.""",
    )
    status.add_argument("--json", action="store_true", help="one JSON document, with schema_version")
    status.add_argument(
        "--watch",
        type=_positive,
        metavar="SECONDS",
        nargs="?",
        const=2.0,
        help="repeat every 2 s or SECONDS until Ctrl-C (with --json: one line each time)",
    )


def _dead(commands: _Commands) -> None:
    dead = _command(
        commands,
        "dead",
        "list, replay or drop dead letters",
        """\
Dead letters are events that could not be carried out, each with the reason.

examples:
  ottoscaler dead list
  ottoscaler dead replay 1717430400000-0
  ottoscaler dead drop --all

docs/operations.md lists the reasons.""",
    )
    verbs = dead.add_subparsers(dest="verb", metavar="list|replay|drop", required=True)
    shown = _command(verbs, "list", "show them, the newest first", "Shows the dead letters, newest first.")
    shown.add_argument("--json", action="store_true", help="one JSON document, with schema_version")
    shown.add_argument(
        "--count", type=_count, default=20, metavar="N", help="how many at most (default %(default)s)"
    )
    for verb, summary, text in (
        (
            "replay",
            "put their events back on the stream",
            """\
Puts each event back on the stream with its own fields under a new id, and removes the dead letter, in one
step; prints "old id -> new id". An event that still breaks a rule comes back as a dead letter.

example:
  ottoscaler dead replay 1717430400000-0""",
        ),
        (
            "drop",
            "remove them",
            "Removes dead letters for good.\n\nexample:\n  ottoscaler dead drop 1717430400000-0",
        ),
    ):
        one = _command(verbs, verb, summary, text)
        one.add_argument(
            "ids", metavar="ID", nargs="*", default=[], help="a dead letter's id, or its event's"
        )
        one.add_argument("--all", action="store_true", help="all present dead letters")
        one.set_defaults(complain=one.error)


def _demo(commands: _Commands) -> None:
    _command(
        commands,
        "demo",
        "run a demonstration here, without a cluster",
        """\
Starts a local Kubernetes API, Redis and the service, and shows three events on the terminal: three
workers, one that fails, and a burst. Takes under two minutes and leaves nothing running.

example:
  ottoscaler demo""",
    )


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="ottoscaler",
        description="Turns events on a Redis Stream into worker Pods on Kubernetes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"ottoscaler {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="serve until SIGTERM or SIGINT (the default)")
    for add in (_check, _send, _status, _dead, _demo):
        add(commands)
    return top


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments; ends with exit code 2 where they are wrong."""
    top = parser()
    arguments, rest = top.parse_known_args(argv)
    # argparse takes a list of values in one run only; people write `send scale_up --wait pod_count=1`.
    if arguments.command == "send" and rest and not any(word.startswith("-") for word in rest):
        arguments.fields = [*arguments.fields, *rest]
    elif (
        arguments.command == "dead"
        and arguments.verb != "list"
        and rest
        and not any(word.startswith("-") for word in rest)
    ):
        arguments.ids = [*arguments.ids, *rest]
    elif rest:
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if arguments.command == "dead" and arguments.verb != "list":
        _check_ids(arguments)
    return arguments


def _check_ids(arguments: argparse.Namespace) -> None:
    if bool(arguments.ids) == arguments.all:
        arguments.complain("give ids, or --all")
    for word in arguments.ids:
        if not _ID.fullmatch(word):
            arguments.complain(f"{word[:LONGEST_WORD_SHOWN]!r} is not an id such as 1717430400000-0")
