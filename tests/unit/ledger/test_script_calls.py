"""The commands that run scripts."""

from __future__ import annotations

import hashlib

from ottoscaler.config.settings import Settings
from ottoscaler.ledger.pipelining import packed
from ottoscaler.ledger.script_calls import MOST_KEPT, ScriptCalls

SETTINGS = Settings(redis_stream="s", redis_consumer_group="g", namespace="n", retention_seconds=1.5)


def test_both_commands_of_a_script_have_the_same_keys_and_arguments() -> None:
    calls = ScriptCalls(SETTINGS)
    command, text, *rest = calls.whole("take", "installation", "1-0", b"body", 3)
    assert command == "EVAL"
    assert rest[:5] == [4, "s:g:", "s", "otto:scale:results", "otto:scale:dead"]
    sha = hashlib.sha1(str(text).encode(), usedforsecurity=False).hexdigest()
    for _ in range(2):  # anew, then with the first words that were kept
        assert calls.packed("take", "installation", ("1-0", b"body", 3)) == packed(("EVALSHA", sha, *rest))


def test_first_words_that_are_kept_have_a_bound() -> None:
    calls = ScriptCalls(SETTINGS)
    for number in range(3 * MOST_KEPT):  # a Redis that is wiped again and again
        calls.packed("take", f"installation-{number}", ())
        assert len(calls._first) <= MOST_KEPT
