"""Looking a host's name up: a DNS that hangs holds nobody for long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from ottoscaler import name_lookups
from ottoscaler.name_lookups import bounded
from tests.harness.waiting import wait_for


class Dns:
    """Answers when it is let to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.back = False  # it answers new questions, and the old ones still wait
        self.asked: list[tuple[Any, ...]] = []

    def look_up(self, *words: Any) -> str:
        self.asked.append(words)
        assert self.back or self.answers.wait(30)
        if words[0] == "nowhere":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return f"address of {words[0]}"


def give_up(look_up: Any) -> None:
    with pytest.raises(socket.gaierror, match=r"redis was not resolved within 0\.1 s"):
        look_up("redis", 6379, 0, socket.SOCK_STREAM)


def refuse_to_start(**_: Any) -> NoReturn:
    raise RuntimeError("can't start new thread")


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    monkeypatch.setattr(name_lookups, "LOOKUP_SECONDS", 0.1)
    made = Dns()
    yield made
    made.answers.set()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "lookup"], "all lookups have ended")


def test_a_lookup_that_hangs_is_given_up_and_its_answer_is_taken_when_it_comes(dns: Dns) -> None:
    look_up = bounded(dns.look_up)
    give_up(look_up)
    threading.Timer(0.02, dns.answers.set).start()
    assert look_up("redis", port=6379, type=socket.SOCK_STREAM) == "address of redis"
    assert set(dns.asked) == {("redis", 6379, 0, socket.SOCK_STREAM, 0, 0)}


def test_a_lookup_that_still_hangs_holds_up_nobody_when_dns_is_back(dns: Dns) -> None:
    look_up = bounded(dns.look_up)
    give_up(look_up)
    dns.back = True
    assert look_up("redis", 6379, 0, socket.SOCK_STREAM) == "address of redis"


def test_however_many_ask_few_threads_wait_for_dns(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_lookups, "MOST_THREADS", 3)
    look_up = bounded(dns.look_up)
    for _ in range(5):
        give_up(look_up)
    assert len(dns.asked) == 3


def test_an_error_of_a_lookup_reaches_whoever_asked(dns: Dns) -> None:
    dns.answers.set()
    with pytest.raises(socket.gaierror, match="not known"):
        bounded(dns.look_up)("nowhere", 1)


def test_a_moment_without_threads_is_a_failed_lookup(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers try again. Before, such an error ended the thread that asked, and the process with it."""
    dns.answers.set()
    look_up = bounded(dns.look_up)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", refuse_to_start)
        with pytest.raises(socket.gaierror, match="can't start new thread"):
            look_up("redis", 6379)
    assert look_up("redis", 6379) == "address of redis"


@pytest.mark.parametrize("host", ["10.96.0.1", "::1", "fe80::1", None, "", b"redis"])
def test_an_address_needs_no_thread(host: Any) -> None:
    threads: list[str] = []
    bounded(lambda *_: threads.append(threading.current_thread().name))(host, 1)
    assert threads == [threading.current_thread().name]
