"""Log lines: what is in them, how long they may get, and what must never be in them."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottoscaler.telemetry import logs
from ottoscaler.telemetry.formats import LINE_BYTES
from ottoscaler.telemetry.redaction import forget_all, hide, redact
from tests.harness.clock import Clock
from tests.harness.terminal import Terminal

tell = logs.get_logger("ottoscaler.tests")


@pytest.fixture(autouse=True)
def no_trace_left() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    forget_all()


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("INFO", "json", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_is_json_with_the_contracts_fields(stream: io.StringIO) -> None:
    tell.info("pod_created", "Created the Pod.", event_id="1717-0", task_id="t", pod="p", index=0)
    [line] = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "INFO", "action": "pod_created", "message": "Created the Pod.", "event_id": "1717-0",
        "task_id": "t", "pod": "p", "index": 0, "logger": "ottoscaler.tests", "thread": "MainThread",
    }  # fmt: skip


def test_bound_fields_are_in_every_line_also_from_pool_threads(stream: io.StringIO) -> None:
    bound = tell.bind(event_id="1717-0", task_id=None)
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
        pool.submit(bound.info, "pod_created", "Created.", index=2).result()
    [line] = lines(stream)
    assert (line["event_id"], line["index"], line["thread"]) == ("1717-0", 2, "worker_0")
    assert "task_id" not in line


def test_fields_cannot_pass_for_the_lines_own(stream: io.StringIO) -> None:
    fields: dict[str, Any] = {"level": "ERROR", "time": "never", "thread": "x"}
    tell.info("a", "b", **fields)
    assert lines(stream)[0]["level"] == "INFO"
    assert lines(stream)[0]["time"] != "never"


def test_nothing_is_made_into_text_for_a_level_that_nobody_hears(stream: io.StringIO) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("made into text for nobody")

    tell.debug("a", "b", value=Costly())
    assert stream.getvalue() == ""


def test_exception_is_one_line_with_its_traceback(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("it broke")
    except RuntimeError as error:
        tell.error("thread_died", "Stopping.", exc=error)
    assert len(stream.getvalue().splitlines()) == 1
    [line] = lines(stream)
    assert line["exc_info"].startswith("Traceback")
    assert line["exc_info"].endswith("RuntimeError: it broke")


def test_libraries_are_heard_from_warning_up_also_at_debug() -> None:
    stream = io.StringIO()
    logs.configure("DEBUG", "json", stream)
    logging.getLogger("urllib3").debug("Authorization: Bearer x")
    logging.getLogger("urllib3").warning("pool is full")
    assert [(line["action"], line["logger"]) for line in lines(stream)] == [("library", "urllib3")]


def test_second_configure_replaces_the_first(stream: io.StringIO) -> None:
    again = io.StringIO()
    logs.configure("ERROR", "json", again)
    tell.warning("a", "b")
    tell.error("c", "d")
    assert stream.getvalue() == ""
    assert [line["action"] for line in lines(again)] == ["c"]


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_secret_is_nowhere_in_a_line(fmt: str) -> None:
    secret = 'p4ss "wörd"/@%'
    stream = io.StringIO()
    logs.configure("INFO", fmt, stream)
    hide(secret, "", "ab")
    try:
        raise RuntimeError(f"AUTH {secret} failed: {secret!r}")
    except RuntimeError as error:
        tell.error("a", f"with {secret} and {secret!r}", exc=error, value=secret, other=[secret])
    logging.getLogger("redis").warning("bad %s at p4ss%%20%%22w%%C3%%B6rd%%22%%2F%%40%%25", secret)
    for part in ("p4ss", 'rd"/', 'rd\\"', "rd%22"):  # as text, JSON and a URL spell it
        assert part not in stream.getvalue()
    assert stream.getvalue().count("***") >= 6
    assert "ab" in redact("about")


def test_secret_at_the_place_of_the_cut_leaves_no_half(stream: io.StringIO) -> None:
    hide("topsecretvalue")
    tell.info("a", "b", value="x" * 1015 + "topsecretvalue")
    assert "topsec" not in stream.getvalue()


def test_values_and_lines_are_bounded(stream: io.StringIO) -> None:
    huge: dict[str, Any] = {f"field{number}": "\x00" * 100_000 for number in range(40)}
    tell.info("a", "m" * 100_000, **huge)
    tell.info("b", "m" * 100_000)
    tell.info("c", "", **{f"name{number}" * 5: number for number in range(1000)})
    first, second, third = stream.getvalue().splitlines()
    assert max(map(len, (first, second, third))) < LINE_BYTES
    assert json.loads(first)["action"] == "a"
    assert len(json.loads(second)["message"]) == 1024
    assert json.loads(third)["action"] == "c"


@given(st.text(), st.one_of(st.text(), st.floats(), st.integers(), st.binary(), st.none()))
def test_any_value_makes_one_line_of_valid_json(message: str, value: object) -> None:
    stream = io.StringIO()
    logs.configure("INFO", "json", stream)
    tell.info("a", message, value=value)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.isascii()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_text_has_no_control_characters_of_a_producers_making() -> None:
    stream = Terminal()
    logs.configure("INFO", "text", stream)
    tell.warning("a", "red \x1b[31m and a\nnew line", task_id="\u202egnp\x07")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.startswith("\x1b[33m")
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert r"task_id=\u202egnp\x07" in text


def test_text_is_coloured_only_on_a_terminal() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "text", stream)
    tell.error("a", "b")
    assert "\x1b" not in stream.getvalue()


def test_stream_that_is_closed_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.configure("INFO", "json", stream)
    stream.close()
    tell.error("a", "b")
    assert capsys.readouterr().err == ""


class Listener(logging.Handler):
    """Somebody else's handler. It remembers what the test's own thread tells."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:
            self.heard.append(record)


class Mute:
    """A value that cannot be made into text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@contextmanager
def listening(place: str) -> Iterator[Listener]:
    listener, logger = Listener(), logging.getLogger(place)
    logger.addHandler(listener)
    try:
        yield listener
    finally:
        logger.removeHandler(listener)


def leave_our_handler_alone() -> None:
    """As in the service. Pytest adds handlers of its own before each call."""
    root = logging.getLogger()
    root.handlers[:] = [each for each in root.handlers if isinstance(each, logs._Lines)]


def say_all_kinds() -> None:
    bound = tell.bind(index=3, event_id="1717-0", other=None)
    values: list[object] = [None, True, 7, 2**70, 0.5, math.nan, b"\xff", ["l"], "k\x1b\u202e\n", "é" * 2000]
    for value in values:
        bound.info("a", "mé %s", value=value, pod="p", task_id="s3cret!")
    bound.warning("b", "s3cret!", level="x", time="y", logger="z", thread="t")
    bound.info("c", "m", **{f"name{number}" * 5: "v" * 500 for number in range(100)})
    try:
        raise RuntimeError("with s3cret!" + "x" * 5000)
    except RuntimeError as error:
        bound.error("d", "m", exc=error)


@pytest.mark.parametrize("fmt", ["json", "text"])
@pytest.mark.parametrize("place", ["", "ottoscaler", "ottoscaler.tests"])
def test_another_handler_hears_our_records_and_changes_no_byte_of_our_lines(fmt: str, place: str) -> None:
    hide("s3cret!")
    written = []
    for heard_by in (None, place):
        stream = Terminal()
        logs.configure("INFO", fmt, stream)
        leave_our_handler_alone()
        if heard_by is None:
            say_all_kinds()
        else:
            with listening(heard_by) as listener:
                say_all_kinds()
        text = stream.getvalue()
        assert "s3cret!" not in text
        written.append(re.sub(r"(\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d\.\d{3}", "T", text))
    assert written[0] == written[1] != ""
    assert [each.levelname for each in listener.heard] == ["INFO"] * 10 + ["WARNING", "INFO", "ERROR"]


def test_value_without_a_text_loses_its_line_and_raises_nothing(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_our_handler_alone()
    tell.info("a", "b", value=Mute())
    tell.info("c", "d")
    assert [line["action"] for line in lines(stream)] == ["c"]
    assert capsys.readouterr().err == ""


def test_level_changed_at_run_time_counts_from_the_next_line(stream: io.StringIO) -> None:
    leave_our_handler_alone()
    tell.debug("a", "b")
    logging.getLogger(logs.ROOT).setLevel("DEBUG")
    tell.debug("c", "d")
    logging.getLogger(logs.ROOT).setLevel("ERROR")
    tell.warning("e", "f")
    assert [line["action"] for line in lines(stream)] == ["c"]


def test_warning_is_not_printed_where_nobody_configured_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    leave_our_handler_alone()
    tell.warning("a", "said early")
    assert capsys.readouterr().err == ""


def test_flood_is_summed_up_when_its_window_closes(stream: io.StringIO) -> None:
    clock = Clock(0.0)
    flood = logs.Flood(tell, window_seconds=30, clock=clock)
    for _ in range(137):
        flood.warning("create_failed", "The API server is away.", key="503", pod="p")
    assert len(lines(stream)) == 5
    clock.now = 29.9
    flood.sweep()
    assert len(lines(stream)) == 5
    clock.now = 30
    flood.sweep()
    summary = lines(stream)[-1]
    assert summary["message"] == "… and 132 more like this in 30 s"
    assert (summary["action"], summary["key"], summary["repeated"], summary["level"]) == (
        "create_failed", "503", 132, "WARNING",
    )  # fmt: skip
    flood.warning("create_failed", "Again.", key="503")
    assert lines(stream)[-1]["message"] == "Again."


def test_few_lines_of_each_kind_pass_without_a_summary(stream: io.StringIO) -> None:
    flood = logs.Flood(tell)
    for key in ("a", "b"):
        for _ in range(5):
            flood.info("x", "y", key=key)
    flood.sweep(all_windows=True)
    assert [line["message"] for line in lines(stream)] == ["y"] * 10


def test_flood_of_ever_new_keys_is_held_back_too(stream: io.StringIO) -> None:
    flood = logs.Flood(tell, first=2, keys=10)
    for number in range(1000):
        flood.error("x", "y", key=str(number))
    assert len(lines(stream)) == 12
    flood.sweep(all_windows=True)
    assert lines(stream)[-1]["repeated"] == 988
