"""Compares each reply with the shapes in reply_shapes.py before anything else reads it."""

from __future__ import annotations

from typing import Any

from ottoscaler.errors import NoAnswer
from ottoscaler.ledger.pipelining import Words
from ottoscaler.ledger.redis_endpoint import Endpoint
from ottoscaler.ledger.reply_shapes import command_name, fits, kind, script_fits


class CheckedReplies:
    """Thread-safe. A reply of a wrong shape raises NoAnswer, and costs the endpoint all its connections: the
    next reply on them may be the one to this command."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def reply(self, words: Words, reply: Any) -> Any:
        """The reply to a command."""
        if not fits(words, reply):
            raise self._unusable(command_name(words), reply)
        return reply

    def answer(self, script: str, answer: Any) -> Any:
        """The answer of one of our scripts."""
        if not script_fits(script, answer):
            raise self._unusable(f"the script {script}.lua", answer)
        return answer

    def _unusable(self, asked: str, reply: Any) -> NoAnswer:
        self._endpoint.wrong_server(f"nonsense to {asked}", self._endpoint.generation)
        return NoAnswer(
            f"Redis is unavailable: it answered {asked} with {kind(reply)}, which Redis never does; "
            "a proxy or another program may be in its place"
        )
