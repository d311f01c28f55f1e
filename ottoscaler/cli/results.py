"""``results``: prints finished workers, finished events and dead letters in the order in which they came."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ottoscaler.cli.follow import message, outcome, why
from ottoscaler.cli.terminal import json_text, printable, safe, say
from ottoscaler.client import Client, DeadLetter, Result, WorkerResult
from ottoscaler.ledger.records import timestamp

LONGEST_TASK = 40  # columns of a task's id; --json has all of it
LONGEST_ERROR = 300


def main(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Returns 0. With ``--follow``, it goes on until Ctrl-C."""
    found = False
    with Client.from_environment(environ) as client:
        for result in client.results(task_id=arguments.task, follow=arguments.follow):
            found = True
            print(json_text(document(result)) if arguments.json else line(result), flush=True)
    if not found:
        whose = f" of task {safe(arguments.task, LONGEST_TASK)}" if arguments.task else ""
        say(f"no result{whose} is kept; `ottoscaler status` shows the events in flight")
    return 0


def document(result: Result) -> dict[str, Any]:
    """What ``--json`` prints in one line. Its ``kind`` is ``worker``, ``event`` or ``dead_letter``."""
    kind = {"kind": "dead_letter"} if isinstance(result, DeadLetter) else {}
    return {**kind, **result.document()}


def line(result: Result) -> str:
    """A result as one line for people, without any control character."""
    when = timestamp(int(result.id.partition("-")[0]) / 1000)[:19]  # of the entry, by Redis's clock
    task = "-" if result.task_id == result.event_id else safe(result.task_id, LONGEST_TASK)
    return printable(f"{when}Z  {result.event_id}  {task}  {_told(result)}")


def _told(result: Result) -> str:
    if isinstance(result, DeadLetter):
        return f"dead-lettered: {safe(result.error, LONGEST_ERROR)}"
    if isinstance(result, WorkerResult):
        reason = "" if result.status == "succeeded" else f" ({why(result)}){message(result)}"
        return f"worker {result.index}  {result.status}{reason}"
    return f"{result.type}  {outcome(result)}"
