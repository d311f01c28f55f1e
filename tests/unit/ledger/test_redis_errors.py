"""What an error of Redis says to whoever reads it."""

from __future__ import annotations

from redis.sentinel import MasterNotFoundError, Sentinel

from ottoscaler.errors import RedisUnavailable
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
