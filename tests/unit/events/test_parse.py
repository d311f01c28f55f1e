"""Reading events: every rule of docs/events.md, from both sides."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

import pytest

from ottoscaler.errors import BadEvent
from ottoscaler.events.parse import parse_event
from ottoscaler.events.values import raw_task_id
from ottoscaler.model import ScaleDown, ScaleUp
from tests.harness.parsed_events import LIMITS, bad, down, read, sentence, up


def test_smallest_scale_up_has_the_defaults() -> None:
    assert up() == ScaleUp(event_id="1717-0", task_id="1717-0", pod_count=3)


def test_every_field_of_a_scale_up_is_read() -> None:
    event = up(
        task_id="build-17",
        image="busybox",
        command='["make", "-j4"]',
        args='["all"]',
        env='{"CI": "1", "a.b-c": ""}',
        cpu="500m",
        memory="1Gi",
        profile="gpu",
        timeout_seconds="60",
        max_retries="0",
        priority="-5",
        expires_at="1767225600.5",
        branch="main",
    )
    assert event == ScaleUp(
        event_id="1717-0",
        task_id="build-17",
        pod_count=3,
        image="busybox",
        command=("make", "-j4"),
        args=("all",),
        env={"CI": "1", "a.b-c": ""},
        cpu="500m",
        memory="1Gi",
        profile="gpu",
        timeout_seconds=60,
        max_retries=0,
        priority=-5,
        expires_at=1767225600.5,
        metadata={"branch": "main"},
    )


@pytest.mark.parametrize(
    "line",
    [
        "[ -f x ] && echo hi",
        "[ -f x ]",
        "  [ -f x ] && [ -d y ]",
        "[ ! -e x ] || exit 3",
        '[ "$A" = b ] && make "$B"',
        '[ "$A" ] && make',
        "[ \"a b\" != 'c' ]",
        "[ 1 -lt 2 ] && echo [1]",
        "[ $A ]",
        "[ x$A = x ]; exit",
        "[ \\( -f x \\) ]",
        "[[ $A == b ]] && make",
        '[[ "$A" =~ ^[0-9]+$ ]]',
        "[ -f x ] && {{{{{ [[[[[ x; }",
        "[a-z]*.sh all",
    ],
)
def test_shell_s_own_test_is_a_shell_line_and_no_list(line: str) -> None:
    assert up(command=line).command == ("sh", "-c", line)


def test_text_in_brackets_may_begin_an_argument() -> None:
    for text in ("[info] begins", "[[wiki]] page"):
        assert up(args=text).args == (text,)


def test_list_may_have_blanks_around_it() -> None:
    event = up(command=' \n["make", "[ -f x ]"]\t ', args='  ["a"]  ')
    assert (event.command, event.args) == (("make", "[ -f x ]"), ("a",))


@pytest.mark.parametrize("piece", ["[ ", '[ "', "[ a", '[ "a" ', "[ a\\", "[ '", "[ \t", "[[", '[ "\\"'])
def test_list_or_shell_line_is_told_in_linear_time(piece: str) -> None:
    begun = time.process_time()
    for text in (piece * 10_000, piece + " " * 60_000, piece + "a" * 60_000, "[ " + piece[2:] * 10_000):
        with suppress(BadEvent):
            up(command=text)
    assert time.process_time() - begun < 5.0


def test_plain_command_is_run_by_a_shell_and_plain_args_are_one_argument() -> None:
    event = up(command="echo $HOME; exit 3", args="one argument")
    assert event.command == ("sh", "-c", "echo $HOME; exit 3")
    assert event.args == ("one argument",)


def test_empty_lists_say_that_the_image_decides() -> None:
    event = up(command="[]", args="[]")
    assert (event.command, event.args) == ((), ())


def test_empty_dedup_key_counts_as_absent() -> None:
    assert up(dedup_key="").dedup_key is None
    assert up(dedup_key="k" * 256).dedup_key == "k" * 256
    assert "(257 characters); expected at most 256" in bad(dedup_key="k" * 257)


def test_empty_task_id_counts_as_absent() -> None:
    assert up(task_id="").task_id == "1717-0"
    assert raw_task_id([(b"task_id", b"")]) is None
    assert raw_task_id([(b"a", b"b"), (b"task_id", b"t" * 300)]) == "t" * 256
    assert raw_task_id([(b"task_id", b"\xff")]) is None


def test_task_id_keeps_every_character_that_an_environment_can_hold() -> None:
    assert up(task_id="Bau 1\n\t☃ \x01").task_id == "Bau 1\n\t☃ \x01"
    assert "NUL" in bad(task_id="a\0b")


def test_task_id_is_counted_in_characters() -> None:
    assert up(task_id="日" * 256).task_id == "日" * 256
    assert "(257 characters); expected at most 256" in bad(task_id="日" * 257)


@pytest.mark.parametrize(
    "count", ["0", "-1", "1001", "", " 1", "1 ", "+1", "1_0", "1e1", "1.0", "01", "１", "٣", "0x1"]
)
def test_pod_count_is_a_plain_number_within_the_limit(count: str) -> None:
    assert "expected an integer from 1 to 1000" in bad(pod_count=count)


def test_pod_count_is_never_clamped() -> None:
    assert up(pod_count="1000").pod_count == 1000
    assert bad(pod_count="1001").startswith("pod_count: invalid value '1001'")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("type", "scale_sideways", "type: invalid value 'scale_sideways'; expected scale_up or scale_down"),
        (
            "image",
            "nginx",
            "image: invalid value 'nginx' (not allowed by the operator); "
            "expected an image that matches: busybox:latest",
        ),
        ("image", "", "image: invalid value '' (not 1 to 512 ASCII"),
        ("command", "", "command: empty"),
        ("command", "[1]", "command: invalid value; expected a JSON list of strings"),
        ("command", '["a", null]', "command: invalid value; expected a JSON list of strings"),
        (
            "command",
            '["make"',
            "command: invalid JSON: Expecting ',' delimiter at character 8 (text",
        ),
        ("command", "['make']", "command: invalid JSON"),
        ("command", "[make, all]", "command: invalid JSON"),
        ("command", '["a"] && make', "command: invalid JSON: Extra data"),
        ("command", '[ "a", "b" = c', "command: invalid JSON"),
        ("command", "[", "command: invalid JSON"),
        ("command", ' [["a"], "b"', "command: invalid JSON"),
        ("command", "[ -1 ]", "command: invalid value; expected a JSON list of strings"),
        ("command", '[[ "a" ]]', "command: invalid value; expected a JSON list of strings"),
        ("args", " [1] ", "args: invalid value; expected a JSON list of strings"),
        ("args", '["a", ["b"]]', "args: invalid value; expected a JSON list of strings"),
        ("args", "[NaN]", "NaN is not a JSON value"),
        ("args", f"[{'1' * 5000}]", "args: invalid value; expected a JSON list of strings"),
        ("env", "A=1", "env: invalid JSON"),
        ("env", "[]", "env: invalid value; expected a JSON object of strings"),
        ("env", '{"A": 1}', "env: the value of 'A' is not a string"),
        ("env", f'{{"A": {"1" * 5000}}}', "env: the value of 'A' is not a string"),
        ("env", '{"A": "1", "A": "2"}', "env: duplicate key"),
        ("env", '{"OTTO_X": "1"}', "names that begin with OTTO_ are reserved"),
        ("env", '{"1A": ""}', "env: invalid name '1A'"),
        ("env", '{"": ""}', "env: invalid name ''"),
        ("env", '{"A=B": ""}', "env: invalid name 'A=B'"),
        ("env", '{"..": ""}', "env: invalid name '..'"),
        ("env", '{"A\\n": ""}', "env: invalid name"),
        (
            "cpu",
            "9",
            "cpu: invalid value '9' (above the operator's limit of 8); expected a quantity from 1m to 8",
        ),
        ("cpu", "0", "cpu: invalid value '0' (not above 0)"),
        ("cpu", "lots", "cpu: invalid value 'lots' (not a Kubernetes quantity"),
        ("memory", "33Gi", "memory: invalid value '33Gi' (above the operator's limit of 32Gi)"),
        ("memory", "128m", "memory: invalid value '128m' (below the smallest useful amount of 1)"),
        ("profile", "Default", "profile: invalid value 'Default'; expected a template's name"),
        ("profile", "../etc", "profile: invalid value '../etc'; expected a template's name"),
        ("timeout_seconds", "0", "timeout_seconds: invalid value '0'; expected an integer from 1 to 86400"),
        ("timeout_seconds", "86401", "timeout_seconds: invalid value '86401'"),
        ("max_retries", "11", "max_retries: invalid value '11'; expected an integer from 0 to 10"),
        ("priority", "2147483648", "priority: invalid value '2147483648'"),
        ("priority", "high", "priority: invalid value 'high'"),
        ("logs", "none", "logs: invalid value 'none'; expected off or failed or all"),
        ("expires_at", "tomorrow", "expires_at: invalid value 'tomorrow'; expected Unix seconds"),
        ("expires_at", "nan", "expires_at: invalid value 'nan'"),
        ("expires_at", "1e9", "expires_at: invalid value '1e9'"),
    ],
)
def test_wrong_value_is_named_with_what_is_expected(field: str, value: str, words: str) -> None:
    assert words in bad(**{field: value})


def test_all_problems_are_named_at_once() -> None:
    told = bad(pod_count="0", cpu="9", timeout_seconds="soon", image="nginx")
    assert [problem.partition(":")[0] for problem in told.split(". ")] == [
        "pod_count",
        "image",
        "cpu",
        "timeout_seconds",
    ]


def test_missing_fields_are_named() -> None:
    assert sentence({}) == "type: missing; expected scale_up or scale_down"
    assert sentence({"type": "scale_up"}) == "pod_count: missing; expected an integer from 1 to 1000"
    assert "at least one of them" in sentence({"type": "scale_down"})


def test_reserved_env_prefix_is_case_sensitive_as_names_are() -> None:
    assert up(env='{"otto_x": "1", "Otto_": "2", "OTTOX": "3"}').env["OTTOX"] == "3"


def test_bytes_that_are_not_utf8_are_refused_by_name() -> None:
    with pytest.raises(BadEvent, match="the value of field 'branch' is not UTF-8"):
        parse_event("1-0", [(b"type", b"scale_up"), (b"branch", b"\xff\xfe")], LIMITS)
    with pytest.raises(BadEvent, match=r"the field name b'.xff' is not UTF-8"):
        parse_event("1-0", [(b"type", b"scale_up"), (b"\xff", b"x")], LIMITS)
    with pytest.raises(BadEvent, match="is not UTF-8"):  # a surrogate, encoded as UTF-8 must not be
        parse_event("1-0", [(b"task_id", b"\xed\xa0\x80")], LIMITS)


def test_field_given_twice_is_refused_since_readers_differ_in_which_counts() -> None:
    twice = [(b"type", b"scale_up"), (b"pod_count", b"1"), (b"pod_count", b"1000")]
    with pytest.raises(BadEvent, match="field 'pod_count' appears twice"):
        parse_event("1-0", twice, LIMITS)


def test_event_size_counts_names_and_values_in_bytes() -> None:
    limits = replace(LIMITS, max_event_bytes=30)
    assert read({"type": "scale_up", "pod_count": "12345"[:1], "é": "é"}, limits)  # 26 bytes
    told = sentence({"type": "scale_up", "pod_count": "1", "é": "éééé"}, limits)
    assert told == "the event has 32 bytes; the limit is 30"


def test_secrets_in_env_command_and_args_are_in_no_error() -> None:
    told = bad(env='{"TOKEN": "hunter2", "X": 1}', command='["hunter2", 1]', args='["hunter2"')
    assert "hunter2" not in told
    assert len(told.split(". ")) == 3


def test_long_values_are_shortened_in_errors() -> None:
    assert len(bad(pod_count="9" * 5000, profile="x" * 5000)) < 400


def test_metadata_must_fit_into_one_environment_variable() -> None:
    limits = replace(LIMITS, max_event_bytes=10**6)
    told = sentence({"type": "scale_up", "pod_count": "1", "note": "\x01" * 30_000}, limits)
    assert "bytes of metadata as JSON; expected at most 131071" in told


def test_single_string_longer_than_the_kernel_takes_is_refused() -> None:
    limits = replace(LIMITS, max_event_bytes=10**6)
    told = sentence({"type": "scale_up", "pod_count": "1", "command": "x" * 131_072}, limits)
    assert "command: contains a string of 131072 bytes" in told
    fits, too_long = (
        {"type": "scale_up", "pod_count": "1", "env": f'{{"A": "{"x" * n}"}}'} for n in (131_069, 131_070)
    )
    assert read(fits, limits)
    assert "env: contains a string of 131072 bytes" in sentence(too_long, limits), "with A="
    assert "NUL" in bad(env='{"A": "\\u0000"}')


def test_scale_down_by_task_by_count_and_by_both() -> None:
    assert down(task_id="build-17") == ScaleDown("1717-0", task_id="build-17")
    assert down(pod_count="5") == ScaleDown("1717-0", pod_count=5)
    assert down(task_id="t", pod_count="2", running="keep") == ScaleDown("1717-0", "t", 2, True)


def test_scale_down_of_an_empty_task_is_no_scale_down_of_everything() -> None:
    assert "at least one of them" in sentence({"type": "scale_down", "task_id": ""})


def test_scale_down_running_accepts_only_keep() -> None:
    assert "running: invalid value 'kill'; expected keep" in sentence(
        {"type": "scale_down", "task_id": "t", "running": "kill"}
    )


def test_scale_down_refuses_fields_that_look_like_a_filter() -> None:
    told = sentence({"type": "scale_down", "pod_count": "1", "profile": "gpu"})
    assert told == (
        "profile: not supported; a scale_down selects workers by task_id, pod_count and running=keep"
    )


def test_scale_down_tells_a_wrong_task_id_once() -> None:
    told = sentence({"type": "scale_down", "task_id": "x" * 257})
    assert told.startswith("task_id: invalid value")
    assert "missing" not in told


def test_scale_down_takes_other_fields_as_metadata() -> None:
    assert down(task_id="t", why="branch deleted", cpu="2").metadata == {"why": "branch deleted", "cpu": "2"}


def test_scale_down_may_ask_for_more_than_one_event_may_own() -> None:
    assert down(pod_count="5000").pod_count == 5000
    assert "from 1 to 1000000" in sentence({"type": "scale_down", "pod_count": "1000001"})
