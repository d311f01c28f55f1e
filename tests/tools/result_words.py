"""Every status and reason that the results stream can have, in Markdown for docs/results.md."""

from __future__ import annotations

from collections.abc import Mapping

from ottoscaler.model import Reason, Status
from ottoscaler.pods.failure_table import TABLE, WITHOUT_A_POD
from ottoscaler.tables import markdown

STATUSES: Mapping[Status, tuple[str, str]] = {
    Status.SUCCEEDED: (
        "its exit code was 0",
        "all its workers succeeded; of a scale_down: it was carried out",
    ),
    Status.FAILED: ("it failed, and is not tried again", "all its workers failed"),
    Status.CANCELLED: (
        "a scale_down, or the event's being given up, ended it",
        "all its workers were cancelled",
    ),
    Status.PARTIAL: ("", "its workers ended in more than one way"),
    Status.DUPLICATE: (
        "",
        "another event with its `dedup_key` was taken before it, so it ran nothing; `of` is that event's id",
    ),
}


def render_statuses() -> str:
    """The statuses of workers and of events."""
    rows = ((f"`{status.value}`", worker or "never", event) for status, (worker, event) in STATUSES.items())
    return markdown(("status", "a worker's", "an event's"), rows)


def render_reasons() -> str:
    """The reasons, from the failure table: each with its causes, and whether the worker is tried again."""
    return markdown(("reason", "status", "causes", "tried again"), map(_shown_row, Reason))


def _shown_row(reason: Reason) -> tuple[str, ...]:
    rows = [(row.status.value, row.verdict.value, row.sentence) for row in TABLE if row.reason is reason]
    rows += [row[1:] for row in WITHOUT_A_POD if row[0] is reason]
    statuses = dict.fromkeys(status for status, _, _ in rows)
    verdicts = {verdict for _, verdict, _ in rows}
    causes = dict.fromkeys(sentence.replace("{exit_code}", "N") for _, _, sentence in rows if sentence)
    again = "no" if "retry" not in verdicts else "yes" if verdicts == {"retry"} else "by its cause"
    told = "; ".join(causes) or "it did what it was asked"
    return f"`{reason.value}`", ", ".join(statuses), told, again
