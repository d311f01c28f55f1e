"""The commands that run our scripts: the text, the keys and bounds that all scripts get, the arguments.

``scripts/prelude.lua`` reads the keys and the bounds in the order that they have here.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from ottoscaler.config.settings import Settings
from ottoscaler.ledger.pipelining import FirstWords, Words, packed

MOST_KEPT = 128  # first words that are kept packed; enough for the scripts of some three installations


@cache
def _script(name: str) -> tuple[str, str]:
    """A script's text, with the prelude before it, and the SHA-1 by which Redis knows it."""
    folder = resources.files("ottoscaler.ledger") / "scripts"
    text = (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class ScriptCalls:
    """Makes the commands for one set of settings. Any thread."""

    def __init__(self, settings: Settings) -> None:
        s = settings
        prefix = f"{s.redis_stream}:{s.redis_consumer_group}:"
        self._keys = (prefix, s.redis_stream, s.redis_results_stream, s.redis_dead_stream)
        self._group = s.redis_consumer_group
        bounds = (s.results_maxlen, s.results_max_bytes, s.dead_max_bytes)
        self._bounds = (*bounds, s.namespace, int(s.retention_seconds * 1000))
        self._first: dict[tuple[str, str], FirstWords] = {}  # by script and installation

    def packed(self, name: str, installation: str, args: Words) -> bytes:
        """The command that runs a script that Redis knows already."""
        first = self._first.get((name, installation))
        if first is None:
            if len(self._first) >= MOST_KEPT:  # an installation's id changes with a wiped Redis
                self._first.clear()
            first = FirstWords("EVALSHA", _script(name)[1], *self._words(installation))
            self._first[name, installation] = first
        return packed(args, first)

    def whole(self, name: str, installation: str, *args: str | bytes | int) -> Words:
        """The words of the command that runs a script and tells Redis its text."""
        return ("EVAL", _script(name)[0], *self._words(installation), *args)

    def _words(self, installation: str) -> Words:
        return (len(self._keys), *self._keys, self._group, installation, *self._bounds)
