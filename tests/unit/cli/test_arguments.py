"""The command line: what is understood, and what is wrong usage."""

from __future__ import annotations

import sys

import pytest

from ottoscaler.cli import completion
from ottoscaler.cli.arguments import parse
from ottoscaler.cli.redis_access import Failed
from ottoscaler.cli.send import accept, far, pairs
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BadEvent

WRONG = (
    ["nonesuch"],
    ["status", "--watch", "0"],
    ["status", "--wathc"],
    ["send"],
    ["send", "scale_up", "--timeout", "soon"],
    ["send", "scale_up", "--bogus", "pod_count=1"],
    ["send", "scale_up", "pod_count=1", "--timeout", "60"],  # without --wait, its 0 would be no success
    ["dead"],
    ["dead", "replay"],
    ["dead", "drop", "--all", "1-1"],
    ["dead", "list", "--count", "0"],
    ["check", "extra"],
    ["dead", "list", "extra"],
    ["dead", "replay", "nope"],
    ["dead", "replay", "1-1", "1717"],
    ["dead", "drop", "1-1-1"],
    ["wait"],
    ["wait", "17"],
    ["wait", "007-0"],  # Redis takes it for 7-0, and no result bears it
    ["wait", "18446744073709551616-0"],  # Redis refuses it, as if Redis were at fault
    ["wait", "1-0", "--timeout", "-1"],
    ["results", "extra"],
    ["results", "--task", ""],
    ["cancel"],
    ["cancel", ""],
    ["cancel", "\udcff"],  # a byte that is not UTF-8
    ["cancel", "t", "--timeout", "soon"],
    ["logs"],
    ["logs", "17"],
    ["logs", "1-0", "x"],
    ["logs", "1-0", "-1"],
    ["pause", "now"],
    ["resume", "--soon"],
    ["completion"],
    ["completion", "cmd"],
    ["check", "--jsn"],
)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    own = " ".join(["ottoscaler", *words[:1]]) if words != ["nonesuch"] else "ottoscaler"
    assert f"usage: {own} " in capsys.readouterr().err


def test_a_missing_type_is_all_that_send_misses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["send"])
    assert capsys.readouterr().err.endswith("the following arguments are required: TYPE\n")


def test_a_malformed_id_is_named_with_one_that_is_well_formed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["dead", "drop", "1-1", "nope"])
    assert "'nope' is not an id such as 1717430400000-0" in capsys.readouterr().err


HELPS = (
    "check send wait results logs cancel status pause resume completion demo "
    "dead dead-list dead-replay dead-drop"
)


@pytest.mark.parametrize("command", HELPS.split())
def test_every_help_has_an_example_or_options_and_fits_a_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        parse([*command.split("-"), "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "example" in shown or "--count" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_options_may_stand_between_the_fields_of_an_event() -> None:
    arguments = parse(["send", "scale_up", "--wait", "pod_count=1", "--timeout", "5", "task_id=a"])
    assert arguments.fields == ["pod_count=1", "task_id=a"]
    assert (arguments.wait, arguments.timeout) == (True, 5.0)


def test_without_a_subcommand_it_serves() -> None:
    assert parse([]).command is None


def test_a_value_may_hold_equal_signs_and_keeps_its_bytes() -> None:
    assert pairs("scale_up", ["command=a=b", "x=\udcff"]) == [
        (b"type", b"scale_up"),
        (b"command", b"a=b"),
        (b"x", b"\xff"),
    ]


@pytest.mark.parametrize("word", ["pod_count", "=1"])
def test_a_word_that_is_no_field_is_named(word: str) -> None:
    with pytest.raises(BadEvent, match="FIELD=VALUE"):
        pairs("scale_up", [word])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["pod_count=0"], "pod_count"),
        (["pod_count=1", "image=evil/x"], "image"),
        (["pod_count=1", "profile=nonesuch"], "profile"),
        (["pod_count=1", "pod_count=2"], "twice"),
        (["pod_count=1", "x=\udcff"], "UTF-8"),
    ],
)
def test_send_applies_the_rules_of_the_service(words: list[str], named: str) -> None:
    with pytest.raises(BadEvent, match=named):
        accept(pairs("scale_up", words), Settings())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_subcommand(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert completion.main(parse(["completion", shell]), {}) == 0
    script = capsys.readouterr().out
    for word in ("check", "send", "wait", "results", "cancel", "status", "dead", "pause", "keep-running"):
        assert word in script
    if shell != "bash":  # which shows no descriptions: a summary, where the description would be cut off
        assert "wait for an event that was sent before" in script
    assert "scale_up" in script


def test_completion_says_what_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(Failed, match="pip install shtab"):
        completion.main(parse(["completion", "bash"]), {})


def test_the_service_judges_where_none_of_its_settings_is_present() -> None:
    assert far({"REDIS_URL": "redis://x", "NAMESPACE": "n", "OTTO_MAX_WORKERS": ""})
    assert not far({"OTTO_MAX_WORKERS": "3"})
