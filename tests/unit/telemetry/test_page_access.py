"""Who sees the status page."""

from __future__ import annotations

import pytest

from ottoscaler.telemetry.page_access import admits


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:9090", "127.0.0.1:1", "[::1]:9090", "[::1]", "LOCALHOST:80", "127.0.0.2:9090"],
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"])
def test_local_is_there_for_loopback_under_its_own_names(peer: str, host: str) -> None:
    assert admits("local", peer, host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9090",
        "",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "localhost:9090:1",
        "localhost, evil.example",
        "user@localhost",
        "[::1",
        "localhost:x",
        "0.0.0.0:80",
    ],
)
def test_a_name_that_only_resolves_to_loopback_gets_nothing(host: str) -> None:
    assert not admits("local", "127.0.0.1", host)


@pytest.mark.parametrize("peer", ["10.0.0.7", "fe80::1%eth0", "::ffff:10.0.0.7", "", "nonsense"])
def test_other_machines_get_nothing(peer: str) -> None:
    assert not admits("local", peer, "localhost:9090")


def test_all_is_there_for_all_and_off_for_nobody() -> None:
    assert admits("all", "10.0.0.7", "otto.example")
    assert not admits("off", "127.0.0.1", "localhost")
