"""The one sentence about a Redis that does not work."""

from __future__ import annotations

import pytest

from ottoscaler.client.sentences import sentence, where
from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisError


def test_no_password_gets_into_the_sentence_however_the_error_has_it() -> None:
    settings = Settings(redis_url="redis://otto:s%40krit@here:6379/2")
    told = sentence(settings, RedisError("AUTH failed for redis://otto:s%40krit@here with s@krit"))
    assert "krit" not in told
    assert "redis://otto:***@here:6379/2" in told


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("Redis refuses for now: WRONGPASS invalid username-password pair", "REDIS_PASSWORD"),
        ("Redis refuses for now: NOPERM this user has no permissions", "ACL"),
        ("Redis refuses for now: LOADING", "try again later"),
        ("Redis refuses for now: command not allowed when used memory > 'maxmemory'.", "full"),
        ("Redis refuses for now: You can't write against a read only replica.", "REDIS_SENTINELS"),
        ("Redis is unavailable: max number of clients reached", "maxclients"),
        ("Redis returned an error: WRONGTYPE otto:scale:dead is not a stream", "`check`"),
        ("Redis is unavailable: certificate verify failed", "REDIS_TLS_CA_FILE"),
        ("Redis is unavailable: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13", "REDIS_TLS_CERT_FILE"),
        (
            "Redis is unavailable: Error 524297 connecting to r:1. [SSL] PEM lib (_ssl.c:3926)",
            "without a password",
        ),
        ("Redis is unavailable: REDIS_PASSWORD_FILE '/x' cannot be read: not a file", "Put the file back"),
        ("Redis returned an error: Keys in request don't hash to the same slot", "hash tag"),
        ("Redis returned an error: DB index is out of range", "REDIS_DB"),
        ("Redis is unavailable: [SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS"),
        ("Redis is unavailable: Connection closed by server.", "speak TLS there or not? Check REDIS_HOST"),
        ("Redis is unavailable: Timeout connecting to server", "speak TLS there or not? Check REDIS_HOST"),
        ("Redis is unavailable: No master found for 'm'", "does REDIS_SENTINEL_MASTER name it"),
        (
            "Redis is unavailable: No master found for 'm'; these Sentinels could not be asked: a:1",
            "Check REDIS_SENTINELS",
        ),
        ("Redis returned an error: unknown command 'SENTINEL', with args", "That is no Sentinel"),
        ("Redis returned an error: unknown command 'EVALSHA', with args", "a Sentinel belongs in"),
        ("Redis refuses for now: MISCONF Redis is configured to save RDB snapshots", "It answers, so"),
        ("Redis refuses for now: NOREPLICAS Not enough good replicas to write.", "It answers, so"),
        ("Redis returned an error: The stream has exhausted the last possible ID", "It answers, so"),
        ("Redis is unavailable: Connection refused.", "from here? Check REDIS_HOST and REDIS_PORT"),
    ],
)
def test_every_error_comes_with_what_to_do(error: str, named: str) -> None:
    assert named in sentence(Settings(), RedisError(error))


def test_sentinels_are_named_as_what_was_tried() -> None:
    settings = Settings(redis_sentinels=(("a", 26379), ("b", 26379)), redis_sentinel_master="otto")
    assert where(settings) == "the master otto of the Sentinels a:26379, b:26379"
    assert "REDIS_SENTINELS" in sentence(settings, RedisError("Redis is unavailable"))
