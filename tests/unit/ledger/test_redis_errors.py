"""What an error of Redis says to whoever reads it."""

from __future__ import annotations

import pytest
import redis
from redis._parsers.base import BaseParser
from redis.sentinel import MasterNotFoundError, Sentinel

from ottoscaler.errors import NotPermitted, RedisUnavailable
from ottoscaler.ledger.redis_errors import translated


def test_a_missing_master_names_the_sentinels_that_could_not_be_asked_and_shows_no_connection_pool() -> None:
    sentinels = Sentinel([("sentinel-0", 26379), ("10.0.0.7", 26380)]).sentinels  # type: ignore[no-untyped-call]
    unasked = ", ".join(
        f"{sentinel} - {error!r}"
        for sentinel, error in zip(sentinels, (ConnectionError(), TimeoutError()), strict=True)
    )

    error = translated(MasterNotFoundError(f"No master found for 'otto' : {unasked}"))

    assert isinstance(error, RedisUnavailable)
    assert str(error) == (
        "Redis is unavailable: No master found for 'otto'; these Sentinels could not be asked: "
        "sentinel-0:26379 (ConnectionError), 10.0.0.7:26380 (TimeoutError)"
    )


def test_a_master_that_no_sentinel_knows_is_named() -> None:
    error = translated(MasterNotFoundError("No master found for 'otto'"))

    assert str(error) == "Redis is unavailable: No master found for 'otto'"


@pytest.mark.parametrize(
    "words",
    [
        "The user executing the script can't run this command or subcommand",
        "Error running script (call to f_1): @user_script:6: The user executing the script can't run this "
        "command or subcommand",
        "ACL failure in script: User otto has no permissions to run the 'xadd' command",
        "The user executing the script can't access at least one of the keys mentioned in the command "
        "arguments",
        "NOPERM this user has no permissions to run the 'evalsha' command",
    ],
)
def test_a_command_that_the_acl_forbids_inside_a_script_is_forbidden_and_tried_again(words: str) -> None:
    error = translated(redis.ResponseError(words))

    assert isinstance(error, NotPermitted)
    assert ("ACL LOG" in str(error)) is ("permissions" not in words)


@pytest.mark.parametrize(
    "answer",
    [
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOPERM this user has no permissions to run the 'get' command",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ],
)
def test_an_answer_is_told_with_the_word_that_the_runbook_has(answer: str) -> None:
    error = BaseParser.parse_error(answer)  # type: ignore[no-untyped-call]
    assert str(translated(error)).endswith(f": {answer}")
