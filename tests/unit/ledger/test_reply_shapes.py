"""Which answers of our scripts are taken for answers."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from ottoscaler.ledger.records import Taking, Word
from ottoscaler.ledger.reply_shapes import WORDS, WORDS_OF_TAKING, fits, script_fits

SCRIPTS = resources.files("ottoscaler.ledger") / "scripts"


def test_every_word_that_a_script_answers_is_known() -> None:
    """Else its answer would be taken for another program's, and asked for again for ever."""
    texts = {path.name.removesuffix(".lua"): path.read_text() for path in SCRIPTS.iterdir()}
    said = {
        name: set(re.findall(r"return (?:nil, )?\{(?:more and )?'(\w+)'", text))
        for name, text in texts.items()
    }
    assert len(said) > 40
    taking = said.pop("take") | said.pop("takeover") | {word.value for word in Taking}
    assert taking <= {word.decode() for word in WORDS_OF_TAKING}
    others = set().union(*said.values(), {"missing", "finished", "fenced"})  # three are not literals
    others |= {word.value for word in Word}
    assert others <= {word.decode() for word in WORDS}


@pytest.mark.parametrize("answer", [7, None, b"OK", [], [7], [[b"ok"]], [b"OK"], [b"ok", [b"1"]], [b"ok", 1]])
def test_what_no_script_answers(answer: object) -> None:
    assert not script_fits("start", answer)


def test_list_of_a_survey_is_no_light_heartbeat() -> None:
    light = [b"ok", b"3", [], b"00", 1, [b"1-0"]]
    assert script_fits("beat", light)
    assert not script_fits("beat", light[:-1])
    assert not script_fits("beat", [b"surveyed", *light[1:]])
    assert script_fits("beat", [b"surveyed", *light[1:], [[b"a", b"1", b"3", b"30.0"]], [], [], []])
    assert not script_fits("beat", [b"surveyed", *light[1:], [[b"a", b"1", b"3", 30]], [], [], []])


def test_entries_as_redis_6_2_tells_of_those_that_were_trimmed() -> None:
    words = ("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0")
    assert fits(words, [[b"s", [None, [b"1-0", None], [b"2-0", [b"type", b"scale_up"]]]]])
    assert not fits(words, [[b"s", [[b"1-0", b"type"]]]])
    assert not fits(words, [[b"s", b"1-0"]])


def test_a_hash_s_fields_come_in_the_number_that_was_asked_for() -> None:
    assert fits(("HMGET", "key", "state", "owner"), [b"open", None])
    assert not fits(("HMGET", "key", "state", "owner"), [b"open"])
