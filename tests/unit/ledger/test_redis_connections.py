"""The password's file: read at every connect, and in no log."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from ottoscaler.config.settings import Settings
from ottoscaler.ledger.redis_connections import PasswordFile, connection_options
from ottoscaler.telemetry.redaction import forget_all, redact


@pytest.mark.parametrize(
    ("text", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b" se cret ", " se cret "),
        ("geheimß".encode(), "geheimß"),
    ],
)
def test_one_newline_at_the_end_is_not_part_of_the_password(
    tmp_path: Path, text: bytes, password: str
) -> None:
    path = tmp_path / "password"
    path.write_bytes(text)
    assert PasswordFile(str(path)).get_credentials() == (password,)
    assert PasswordFile(str(path), "otto").get_credentials() == ("otto", password)


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe", b"x" * 70_000, None])
def test_a_file_without_a_password_is_named_and_nothing_of_it_is_shown(
    tmp_path: Path, text: bytes | None
) -> None:
    path = tmp_path / "password"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(redis.ConnectionError, match="REDIS_PASSWORD_FILE") as raised:
        PasswordFile(str(path)).get_credentials()
    assert "xxx" not in str(raised.value)


def test_a_password_from_the_file_is_hidden_from_logs(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("rotated-4711\n")
    try:
        PasswordFile(str(path)).get_credentials()
        assert redact("it was rotated-4711") == "it was ***"
    finally:
        forget_all()


def test_the_file_wins_over_the_other_passwords_and_keeps_the_user(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from-the-file")
    for settings in (
        Settings(redis_password_file=str(path), redis_username="otto", redis_password="other"),
        Settings(redis_password_file=str(path), redis_url="redis://otto:other@redis:6379/0"),
    ):
        options = connection_options(settings, answer_seconds=1)
        assert options["credential_provider"].get_credentials() == ("otto", "from-the-file")
        assert "password" not in options
