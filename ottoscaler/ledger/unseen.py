"""Remembers Pods that no list by our labels shows, while their end is recorded and until they are gone."""

from __future__ import annotations

from ottoscaler.ledger.fencing import Scripts
from ottoscaler.ledger.records import text

READ_AT_ONCE = 200  # names read in one call; there are rarely more


class UnseenNotes:
    """The notes about such Pods. Each call is one round trip and may be repeated. Any thread.

    Every method raises RedisError."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    @property
    def _key(self) -> str:
        return f"{self._scripts.redis.prefix}unseen"

    def note(self, name: str, uid: str) -> None:
        """Remember a Pod, unless there are 10,000 already."""
        self._scripts.run("note_unseen", name, uid)

    def forget(self, name: str) -> None:
        """Forget a Pod that has gone or is being deleted."""
        self._scripts.redis.command("HDEL", self._key, name)

    def some(self) -> dict[str, str]:
        """UIDs by name: all of them, or only some if there are more than READ_AT_ONCE."""
        answer = self._scripts.redis.command_or(("0", []), "HSCAN", self._key, "0", "COUNT", READ_AT_ONCE)
        flat = answer[1]
        return {text(name): text(uid) for name, uid in zip(flat[::2], flat[1::2], strict=True)}
