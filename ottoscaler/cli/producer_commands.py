"""The subcommands for people who send events and read their results. They need only Redis."""

from __future__ import annotations

import argparse

from ottoscaler.cli.argument_kinds import Commands, command, event_id, index, positive, task

_TIMEOUT = "how long to wait (default: a day, the longest run limit)"


def send(commands: Commands) -> None:
    made = command(
        commands,
        "send",
        "add an event to the stream; with --wait, wait for its result",
        """\
Checks an event, adds it to the stream, and prints its id on standard output. With --wait, standard error
gets a line for each worker that ends, and a progress bar if it is a terminal.

If an OTTO_ variable of the service is set, the event is checked with the service's settings. Otherwise, or
with --remote, only the rules that hold for every service are checked. An event that the service then refuses
becomes a dead letter, and --wait prints its sentence.

Exit code without --wait: 0 once the event is on the stream. With --wait: 0 if the event succeeded; 1 if it
failed, was cancelled in part or in whole, became a dead letter, or has not ended within the time limit.
2: the event breaks a rule and was not sent.

examples:
  ottoscaler send scale_up pod_count=3 task_id=build-17
  ottoscaler send scale_up pod_count=1 command='echo hello' --wait --timeout 60
  ottoscaler send scale_down task_id=build-17 running=keep

docs/events.md lists the fields.""",
    )
    made.add_argument("type", metavar="TYPE", help="scale_up or scale_down")
    # Without a default, argparse would call it required.
    made.add_argument("fields", metavar="FIELD=VALUE", nargs="*", default=[], help="the event's fields")
    made.add_argument(
        "--remote",
        action=argparse.BooleanOptionalAction,
        help="let the service check its own limits (default: if none of its settings is set)",
    )
    made.add_argument("--wait", action="store_true", help="follow the event to its end")
    made.add_argument(
        "--timeout",
        type=positive,
        metavar="SECONDS",
        help="how long --wait waits (default: a day, the longest run limit)",
    )


def wait(commands: Commands) -> None:
    made = command(
        commands,
        "wait",
        "wait for an event that was sent before",
        """\
Waits for an event by its id, whoever sent it. Standard error gets a line for each worker that ends, as with
`send --wait`.

Exit code 0: the event succeeded. 1: it failed, was cancelled in part or in whole, became a dead letter, is
still running after the time limit, or is not known.

example:
  ottoscaler wait 1717430400000-0 --timeout 600""",
    )
    made.add_argument("id", metavar="ID", type=event_id, help="the event's id, as `send` or XADD printed it")
    made.add_argument("--timeout", type=positive, metavar="SECONDS", help=_TIMEOUT)


def results(commands: Commands) -> None:
    made = command(
        commands,
        "results",
        "finished workers, finished events and dead letters",
        """\
Prints a line for each finished worker, each finished event and each dead letter that is kept, the oldest
first.

examples:
  ottoscaler results --task build-17
  ottoscaler results --follow
  ottoscaler results --json | jq -c 'select(.status == "failed")'

docs/results.md lists the fields.""",
    )
    made.add_argument("--follow", action="store_true", help="continue with later ones, until Ctrl-C")
    made.add_argument("--task", metavar="TASK", type=task, help="only those of this task")
    made.add_argument("--json", action="store_true", help="one JSON document a line, with its kind")


def logs(commands: Commands) -> None:
    made = command(
        commands,
        "logs",
        "the kept logs of ended workers, or the log of a running one",
        """\
Prints the kept logs of an event's ended workers, or of one worker, each attempt under a heading. With
--follow, prints a running worker's log as it grows, read from Kubernetes (KUBECONFIG, NAMESPACE); if no
worker runs, prints the kept logs.

Exit code 0: a log was printed. 1: no log is kept.

examples:
  ottoscaler logs 1717430400000-0
  ottoscaler logs 1717430400000-0 2 --follow""",
    )
    made.add_argument("id", metavar="ID", type=event_id, help="the event's id")
    made.add_argument("index", metavar="INDEX", type=index, nargs="?", help="one worker, counted from 0")
    made.add_argument("--follow", action="store_true", help="a running worker's log, as it grows")


def cancel(commands: Commands) -> None:
    made = command(
        commands,
        "cancel",
        "stop a task's workers, and wait until they are gone",
        """\
Sends a scale_down for the task, prints its id on standard output, and waits until the workers are gone.
Events of the task that were sent before and not read yet never run.

Exit code 0: the workers are gone, or there were none. 1: some may still run.

examples:
  ottoscaler cancel build-17
  ottoscaler cancel build-17 --keep-running""",
    )
    made.add_argument("task", metavar="TASK", type=task, help="the task's id")
    made.add_argument("--keep-running", action="store_true", help="stop only workers that do not run yet")
    made.add_argument("--timeout", type=positive, metavar="SECONDS", help=_TIMEOUT)
