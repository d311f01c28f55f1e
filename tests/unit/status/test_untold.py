"""What of an event is never shown."""

from __future__ import annotations

import json

from ottoscaler.status.untold import TOLD, Veil, letter_told

SECRET = "hunter2-very-secret"
EVENT = [
    ("type", "scale_up"),
    ("env", json.dumps({"TOKEN": SECRET, "MODE": "ci"})),
    ("command", f"curl -H 'X: {SECRET}' https://x"),
    ("args", json.dumps(["--password", "s3cr3t-args"])),
]


def letter(error: str, *fields: tuple[str, str]) -> dict[str, object]:
    return letter_told(
        {
            "id": "1-0",
            "event_id": "1-0",
            "task_id": "t",
            "at": "",
            "error": error,
            "fields": [list(f) for f in fields],
        }
    )


def test_a_text_loses_each_value_of_env_and_each_word_of_command_and_args() -> None:
    told = Veil(EVENT).text(f"exec: {SECRET} s3cr3t-args --password: not found; mode ci")
    assert told == "exec: *** *** ***: not found; mode ci"


def test_a_whole_value_is_taken_out_also_as_an_error_quotes_it() -> None:
    long = "A" * 30 + SECRET + "B" * 30
    error = f"command: invalid value {long[:40]!a}...; expected a list"
    told = letter(error, ("command", long))
    assert told["error"] == "command: invalid value '***'...; expected a list"


def test_a_short_value_is_taken_out_of_a_quotation_and_stays_elsewhere() -> None:
    told = letter("args: invalid value 'ci'; expected ci or so", ("args", "ci"))
    assert told["error"] == "args: invalid value '***'; expected ci or so"


def test_a_dead_letter_shows_values_of_known_fields_alone() -> None:
    told = letter(
        "x", ("type", "scale_up"), ("pod_count", "many"), ("ENV", SECRET), ("env", SECRET), ("note", SECRET)
    )
    assert told["fields"] == [
        ["type", "scale_up"], ["pod_count", "many"], ["ENV", "***"], ["env", "***"], ["note", "***"]
    ]  # fmt: skip
    assert SECRET not in json.dumps(told)


def test_no_value_of_env_command_or_args_is_ever_told() -> None:
    assert not TOLD & {"env", "command", "args"}
