"""Workers' letters, of the ledger and of the replicas together."""

from __future__ import annotations

from ottoscaler.status.cells import PodsSeen, merged


def test_the_replicas_word_counts_only_where_the_ledger_knows_of_a_pod() -> None:
    assert merged("ppo.xp", "0r 1-3s 4r 5r") == "rso.xr"


def test_nothing_told_leaves_the_ledgers_letters() -> None:
    assert merged("pp.", "") == "pp."
    assert merged("", "0r") == ""
    assert merged("pp", "7-9r") == "pp"


def test_what_two_replicas_tell_in_a_takeover_counts_once() -> None:
    seen = PodsSeen([{"running": 1, "cells": {"1-0": "0-1s"}}, {"running": 2, "cells": {"1-0": "1-2r"}}, {}])
    assert seen.running == 3
    assert merged("ppp", seen.of("1-0")) in ("ssp", "ssr")
