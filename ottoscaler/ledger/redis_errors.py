"""Translates redis-py's errors into ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from ottoscaler.errors import BrokenKey, GroupMissing, NoAnswer, NotPermitted, RedisError, RedisUnavailable

# In Redis 6.2, a script's error begins with the place in the script. The failed command's error follows.
_IN_A_SCRIPT = r"^(?:(?:ERR )?Error running script .*[ :]-?)?"

# Answers of a server that cannot serve us. Its name may lead to another server by now, which can.
# MISCONF is among them because a demoted master that cannot save sends it instead of READONLY. A blocked read
# gets UNBLOCKED when its server becomes a replica.
_WRONG_SERVER = re.compile(
    _IN_A_SCRIPT + "(READONLY|NOREPLICAS|MISCONF|MASTERDOWN|CLUSTERDOWN|LOADING|UNBLOCKED)"
)
_WRONG_SERVER_TYPES = (
    (ReadOnlyError, "READONLY"),
    (redis.BusyLoadingError, "LOADING"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
)
# redis-py's connection to a Sentinel's master turns READONLY into this text, and closes itself.
_SENTINEL_DEMOTED = "previous master is now a slave"

# redis-py shows a Sentinel that it could not ask as its whole connection pool, followed by the error's type.
_UNASKED_SENTINEL = re.compile(r"host=([^,]+),port=(\d+),.*?\)>\)>\)> - (?:\w+:)?(\w+)")

# Answers that pass on the same server: it is full or busy, or its password or rights are being changed.
_PASSING = re.compile(_IN_A_SCRIPT + "(OOM|BUSY|UNKILLABLE|TRYAGAIN|NOAUTH|WRONGPASS)")
_BROKEN = re.compile(_IN_A_SCRIPT + "WRONGTYPE")
# A script's own commands are refused in these words: 6.2 and 7.0 say the first, 7.2 and newer the second.
_NOT_PERMITTED = re.compile(
    _IN_A_SCRIPT + "(?:ERR )?(?:NOPERM|The user executing the script can't |ACL failure in script)"
)
_PASSING_TYPES = (AskError, TryAgainError, OutOfMemoryError)


class Pausing(redis.ConnectionError):
    """No connection was tried, because a wrong server has answered a moment ago."""


def wrong_server(error: BaseException) -> str:
    """The word in an answer that says that this server cannot serve us; '' if it does not say so."""
    for kind, word in _WRONG_SERVER_TYPES:
        if isinstance(error, kind):
            return word
    if isinstance(error, redis.ConnectionError):
        return "READONLY" if _SENTINEL_DEMOTED in str(error) else ""
    found = _WRONG_SERVER.match(str(error)) if isinstance(error, redis.ResponseError) else None
    return found[1] if found else ""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise our errors in place of redis-py's."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise translated(error) from error


def translated(error: Exception) -> RedisError:
    """Our error for one of redis-py's, or for an OSError."""
    if isinstance(error, redis.WatchError):  # or the connection broke while the keys were watched
        return RedisUnavailable(f"a transaction was not carried out: {error}")
    text = _no_master(error) if isinstance(error, MasterNotFoundError) else _words(error)
    if word := wrong_server(error):
        shown = text if text.startswith(word) else f"{word} {text}"
        return RedisUnavailable(f"Redis refuses for now: {shown}")
    if isinstance(error, Pausing):
        return RedisUnavailable(f"Redis refuses for now: {text}")
    if isinstance(error, (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse, OSError)):
        return NoAnswer(f"Redis is unavailable: {text}")
    if "NOGROUP" in text:
        return GroupMissing(text)
    if isinstance(error, NoPermissionError) or _NOT_PERMITTED.match(text):
        hint = "" if "permissions" in text else " (ACL LOG names the command)"
        return NotPermitted(f"Redis refuses for now: {text}{hint}")
    if isinstance(error, _PASSING_TYPES) or _PASSING.match(text):
        return RedisUnavailable(f"Redis refuses for now: {text}")
    kind = BrokenKey if _BROKEN.match(text) else RedisError
    return kind(f"Redis returned an error: {text}")


def _words(error: Exception) -> str:
    """An error's text with the code that Redis put first (WRONGPASS, OOM), which redis-py takes off. Newer
    versions of it keep the code beside."""
    text, code = str(error) or type(error).__name__, getattr(error, "status_code", None)
    return f"{code} {text}" if code and code != "ERR" and not text.startswith(code) else text


def _no_master(error: MasterNotFoundError) -> str:
    said, _, unasked = str(error).partition(" : ")
    places = ", ".join(f"{host}:{port} ({kind})" for host, port, kind in _UNASKED_SENTINEL.findall(unasked))
    return f"{said}; these Sentinels could not be asked: {places}" if places else said
