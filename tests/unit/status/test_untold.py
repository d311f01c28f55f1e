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


def test_a_text_keeps_what_other_fields_hold_and_short_words_in_quotation_marks() -> None:
    veil = Veil([*EVENT, ("image", "registry.example.com/app"), ("args", "ci")])
    text = "registry.example.com/app has no mode 'ci'"
    assert veil.text(text) == text


def test_a_value_that_holds_another_one_is_taken_out_whole() -> None:
    veil = Veil([("args", json.dumps(["secret", "secret-and-more", "5 long"]))])
    assert veil.text("secret-and-more secret 5 long") == "*** *** ***"


def test_a_whole_value_is_taken_out_also_as_an_error_quotes_it() -> None:
    long = "A" * 30 + SECRET + "B" * 30
    error = f"command: invalid value {long[:40]!a}...; expected a list"
    told = letter(error, ("command", long))
    assert told["error"] == "command: invalid value '***'...; expected a list"


def test_a_short_value_is_taken_out_of_a_quotation_and_stays_elsewhere() -> None:
    told = letter("args: invalid value 'ci'; expected ci or so", ("args", "ci"))
    assert told["error"] == "args: invalid value '***'; expected ci or so"


def test_a_quotation_is_taken_out_however_an_error_spells_it_and_wherever_the_value_has_it() -> None:
    assert letter(r"args: invalid value 'a\n'", ("args", "a\n"))["error"] == "args: invalid value '***'"
    long = json.dumps({f"NAME_{number}": "x" for number in range(20)} | {"KEY": 1})
    told = letter("env: the value of 'KEY' is not a string", ("env", long))
    assert told["error"] == "env: the value of '***' is not a string"


def test_what_an_error_quotes_of_an_unknown_field_is_taken_out_and_of_a_known_one_stays() -> None:
    told = letter("pod_count: 'many'; note: 'abc'", ("pod_count", "many"), ("note", "abc"))
    assert told["error"] == "pod_count: 'many'; note: '***'"


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
