"""The end of the process: its exit code holds, whatever became of the readers of its output."""

from __future__ import annotations

import io
import os
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


@pytest.mark.parametrize("stream", [Gone, Hanging])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_exit_code_holds_where_the_reader_of_our_output_is_gone_or_hangs(
    monkeypatch: pytest.MonkeyPatch, name: str, stream: type[io.StringIO]
) -> None:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Exited

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr("logging.shutdown", lambda: None)  # pytest logs on
    monkeypatch.setattr(serve, "FLUSH_SECONDS", 0.01)
    with monkeypatch.context() as context:
        made = stream()
        context.setattr(f"sys.{name}", made)
        with pytest.raises(Exited):
            serve.end(3)
    if isinstance(made, Hanging):
        made.over.set()
    assert codes == [3]
