"""What every call of the client shares: the settings, Redis, and whether an outage may be waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ottoscaler.client.errors import BadRequest, RedisFailed
from ottoscaler.client.sentences import sentence
from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BadSettings, NotPermitted, RedisError, RedisUnavailable
from ottoscaler.ledger.redis_client import RedisClient


class Connection:
    """One client's connection to Redis, which is made at the first call. For one thread.

    Raises:
        BadRequest: a variable of ``environ`` cannot be used. The text calls it by its name in ``names``, if
            it has one there.
    """

    def __init__(self, environ: Mapping[str, str], names: Mapping[str, str]) -> None:
        try:
            self.settings: Settings = config.load(environ)
        except BadSettings as error:
            text = str(error)
            for variable, name in names.items():
                text = text.replace(variable, name)
            raise BadRequest(text) from None
        self.redis = RedisClient(self.settings, name="")
        self._answered = False  # Redis has answered once, so a later silence is an outage

    def answered(self) -> None:
        """Note that Redis gave an answer."""
        self._answered = True

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raises an error of Redis within the block as RedisFailed."""
        try:
            yield
        except RedisError as error:
            raise RedisFailed(sentence(self.settings, error)) from error

    def outage(self, error: RedisError) -> str:
        """The sentence of an outage that may be waited for. Raises RedisFailed for anything else."""
        text = sentence(self.settings, error)
        waits = isinstance(error, RedisUnavailable) and not isinstance(error, NotPermitted)
        if not waits or not self._answered:
            raise RedisFailed(text) from error
        return text
