"""What ``check`` makes of a Redis's INFO."""

from __future__ import annotations

import pytest

from ottoscaler.cli.check_redis import trust, version

WELL = {"maxmemory_policy": "noeviction", "maxmemory": "0", "aof_enabled": "1", "role": "master"}


@pytest.mark.parametrize("number", ["6.2.0", "6.2.14", "7.0.0", "8.1.2", "10.0.0"])
def test_redis_from_6_2_on_will_do(number: str) -> None:
    found = version({"redis_version": number}, "here:6379")
    assert found.level == "ok"
    assert number in found.text


@pytest.mark.parametrize("info", [{"redis_version": "6.0.16"}, {"redis_version": "5.0.7"}, {}])
def test_an_older_redis_is_a_problem(info: dict[str, str]) -> None:
    assert version(info, "here:6379").level == "problem"


def test_valkey_is_told_by_its_own_name() -> None:
    found = version({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "here:6379")
    assert found.level == "ok"
    assert "Valkey 9.1.2" in found.text


def test_a_redis_that_keeps_what_it_acknowledges_is_well() -> None:
    assert [found.level for found in trust(WELL)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "warning", "maxmemory is not set"),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": "1000"}, "warning", "1000 bytes"),
        ({"aof_enabled": "0"}, "warning", "appendonly"),
        ({"role": "slave"}, "problem", "replica"),
    ],
)
def test_what_would_lose_events_is_told(change: dict[str, str], level: str, word: str) -> None:
    odd = [found for found in trust({**WELL, **change}) if found.level != "ok"]
    assert [found.level for found in odd] == [level]
    assert word in odd[0].text
