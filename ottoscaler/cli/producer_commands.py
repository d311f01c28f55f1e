"""The subcommands for people who send events and read their results. They need only Redis."""

from __future__ import annotations

import argparse

from ottoscaler.cli.argument_kinds import Commands, command, entry_id, index, positive, task

_TIMEOUT = "how long to wait (default: a day, the longest run limit)"


def send(commands: Commands) -> None:
    made = command(
        commands,
        "send",
        "put an event on the stream, and with --wait follow it to its result",
        """\
Checks an event, adds it to the stream, and prints its id on standard output. With --wait, each worker's end
and a progress bar (on a terminal) go to standard error.

Where an OTTO_ variable of the service is set, the event is checked by the service's own rules. Elsewhere, or
with --remote, it is checked by what holds for every service, and the service judges: an event that it refuses
is dead-lettered, and --wait tells its sentence.

Without --wait: exit code 0 once the event is on the stream. With it: 0 if the event succeeded; 1 if it
failed, was cancelled in part or in whole, was dead-lettered, or the time limit passed (the event is then
still running). 2: the event breaks a rule and was not sent.

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
        help="leave the judgement to the service (default: where none of its settings is present)",
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
Attaches to an event by its id, whoever sent it, and tells its workers' ends on standard error as
`send --wait` does.

Exit code 0: it succeeded. 1: it failed, was cancelled in part or in whole, was dead-lettered, has not ended
within the time limit, or is not known.

example:
  ottoscaler wait 1717430400000-0 --timeout 600""",
    )
    made.add_argument("id", metavar="ID", type=entry_id, help="the event's id, as `send` or XADD printed it")
    made.add_argument("--timeout", type=positive, metavar="SECONDS", help=_TIMEOUT)


def results(commands: Commands) -> None:
    made = command(
        commands,
        "results",
        "finished workers, finished events and dead letters",
        """\
Prints what the results and the dead-letter stream keep, a line each, the oldest first.

examples:
  ottoscaler results --task build-17
  ottoscaler results --follow
  ottoscaler results --json | jq -c 'select(.status == "failed")'

docs/results.md lists the fields.""",
    )
    made.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    made.add_argument("--task", metavar="TASK", type=task, help="those of one task")
    made.add_argument("--json", action="store_true", help="a JSON document a line, with its kind")


def logs(commands: Commands) -> None:
    made = command(
        commands,
        "logs",
        "the kept logs of an event's ended workers, or a running one's",
        """\
Prints all that is kept of an event's workers, or of one, each attempt under a heading. With --follow, the log
of a running worker as it grows, read from Kubernetes (KUBECONFIG, NAMESPACE); where none runs, what is kept.

Exit code 0: something was there. 1: nothing is kept.

examples:
  ottoscaler logs 1717430400000-0
  ottoscaler logs 1717430400000-0 2 --follow""",
    )
    made.add_argument("id", metavar="ID", type=entry_id, help="the event's id")
    made.add_argument("index", metavar="INDEX", type=index, nargs="?", help="one worker, counted from 0")
    made.add_argument("--follow", action="store_true", help="a running worker's log, as it grows")


def cancel(commands: Commands) -> None:
    made = command(
        commands,
        "cancel",
        "take a task's workers away, and wait until they are gone",
        """\
Sends a scale_down of the task, prints its id on standard output, and waits for it. Events of the task that
were sent before and not read yet never run.

Exit code 0: the workers are gone (also where there was none). 1: they may not be.

examples:
  ottoscaler cancel build-17
  ottoscaler cancel build-17 --keep-running""",
    )
    made.add_argument("task", metavar="TASK", type=task, help="the task's id")
    made.add_argument("--keep-running", action="store_true", help="spare the workers that run")
    made.add_argument("--timeout", type=positive, metavar="SECONDS", help=_TIMEOUT)
