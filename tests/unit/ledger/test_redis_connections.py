"""The password's file: read at every connect, and in no log."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisUnavailable
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.ledger.redis_connections import PasswordFile, SentinelClient, connection_options
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


@pytest.mark.parametrize("kind", ["named pipe", "directory", "loop of links"])
def test_what_has_replaced_the_file_is_told_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "password"
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(path)
    with pytest.raises(redis.ConnectionError, match=r"REDIS_PASSWORD_FILE '.*' cannot be read: "):
        PasswordFile(str(path)).get_credentials()


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_what_has_replaced_a_file_of_tls_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    os.mkfifo(path)
    settings = replace(Settings(redis_url="rediss://127.0.0.1:1"), **{f"redis_tls_{name}_file": str(path)})  # type: ignore[arg-type]
    with pytest.raises(
        RedisUnavailable, match=rf"REDIS_TLS_{name.upper()}_FILE '.*' cannot be read: not a file"
    ):
        RedisClient(settings).command("PING")


def test_a_sentinel_is_not_asked_with_what_has_replaced_a_file_of_tls(tmp_path: Path) -> None:
    path = tmp_path / "file"
    os.mkfifo(path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        sentinel = server.getsockname()
        settings = Settings(
            redis_sentinels=(sentinel,), redis_sentinel_master="otto", redis_tls_ca_file=str(path)
        )
        with pytest.raises(RedisUnavailable, match="could not be asked"):
            SentinelClient(settings, sentinel).master()


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
