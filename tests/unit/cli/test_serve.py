"""The end of the process: its exit code holds, whatever became of the readers of its output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

import pytest

from ottoscaler.cli import serve


class Exited(Exception):
    """Stands for the end of the process."""


class Gone(io.StringIO):
    """A stream whose reader has closed it."""

    def flush(self) -> None:
        raise BrokenPipeError


class Hanging(io.StringIO):
    """A stream whose reader hangs until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()

    def flush(self) -> None:
        self.over.wait()


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended."""
    found: list[int] = []

    def leave(code: int) -> None:
        found.append(code)
        raise Exited

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr("logging.shutdown", lambda: None)  # pytest logs on
    return found


@pytest.mark.parametrize("stream", [Gone, Hanging])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_exit_code_holds_where_the_reader_of_our_output_is_gone_or_hangs(
    monkeypatch: pytest.MonkeyPatch, codes: list[int], name: str, stream: type[io.StringIO]
) -> None:
    monkeypatch.setattr(serve, "FLUSH_SECONDS", 0.01)
    with monkeypatch.context() as context:
        made = stream()
        context.setattr(f"sys.{name}", made)
        with pytest.raises(Exited):
            serve.end(3)
    if isinstance(made, Hanging):
        made.over.set()
    assert codes == [3]


def test_process_ends_also_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, codes: list[int]
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(Exited):
        serve.end(1)
    assert codes == [1]


def test_no_command_loads_the_kubernetes_client_to_end() -> None:
    """That takes longer than most commands, and comes before what they have printed is flushed."""
    ended = "import sys; from ottoscaler.cli import serve; serve._flush(); print('kubernetes' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", ended], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
