"""The search for Pods that nobody watches, step by step: a real Redis, Pods in a dictionary, no threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ottoscaler.controller import unwatched
from ottoscaler.controller.sweep import USUAL_SIGHTS, Sweep
from ottoscaler.controller.unwatched import Unwatched
from ottoscaler.kube.deleter import PodDeleter
from ottoscaler.kube.selection import MOST_OWNERS
from ottoscaler.ledger.lease import suspended_clock
from ottoscaler.ledger.records import Entry
from ottoscaler.ledger.surveys import EVERYBODY, Surveys
from ottoscaler.model import PodView, ScaleUp, WorkerId
from ottoscaler.pods.labels import labels, pod_name
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.fake_pods import FakePods
from tests.harness.ledger_steps import DONE
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

INSTANCE = "one"
LEASE = 30.0


class Deletes:
    """Stands for the deleter: what it was asked for is done at once."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def call(self, _event: str, job: Callable[[], None]) -> None:
        job()

    def delete(self, name: str, _uid: str, gone: Callable[[], None], _about: Any) -> None:
        self.deleted.append(name)
        gone()

    def in_namespace(self, _namespace: str) -> Deletes:
        return self


class Seeker:
    """One replica that looks for what nobody watches."""

    def __init__(self, book: Book, pods: FakePods, name: str = "a", incarnation: str = "a1") -> None:
        self.ledger = book.ledger(name, incarnation)
        self.pods = pods
        self.deletes = Deletes()
        self.surveys = Surveys(LEASE)
        self.owners: frozenset[str] | None = frozenset({incarnation})
        self.search = Unwatched(
            self.ledger,
            pods,
            cast(Any, self),  # in the place of the watch
            cast(PodDeleter, self.deletes),
            self.surveys,
            self._sweep,
            instance=INSTANCE,
        )

    def claimed(self, _name: str) -> bool:
        return False

    def _sweep(self, shared: Callable[[PodView], bool], deleter: Any) -> Sweep:
        lease = SimpleNamespace(held_installations=self.ledger.identity.held_installations, peers=1)
        return Sweep(
            self.ledger,
            self.claimed,
            shared,
            cast(Any, lease),
            deleter,
            Metrics(),
            instance=INSTANCE,
            ttl={},
            now=lambda: 0.0,
        )

    def beat(self, *, at: float | None = None) -> None:
        """A heartbeat with a survey, at a time that the test says."""
        watches = EVERYBODY if self.owners is None else " ".join(sorted(self.owners))
        survey = self.ledger.replicas.beat("{}", survey=True, watches=watches)
        assert survey is not None
        self.surveys.tell(survey, suspended_clock() if at is None else at, same_run=True)

    def step(self) -> list[str]:
        """One step; the selectors of the lists that it made."""
        del self.pods.calls[:]
        self.search.step()
        return self.pods.asked("list")


@pytest.fixture
def pods() -> FakePods:
    return FakePods()


def leftover(book: Book, pods: FakePods, owner: str | None) -> str:
    """A Pod whose result stands, and whose owner died before it deleted it; its name."""
    ledger = book.ledger("gone", owner or "unlabelled")
    event_id = str(book.redis.xadd("otto:scale:events", {"type": "scale_up", "pod_count": "1"}))
    ledger.take(ScaleUp(event_id, "t", 1), Entry(event_id, ((b"type", b"scale_up"),)))
    worker, name = WorkerId(event_id, 0, 0), pod_name(INSTANCE, event_id, 0, 0)
    borne = labels(INSTANCE, ledger.installation, worker, "t", owner or "")
    if owner is None:
        del borne["ottoscaler.io/owner"]
    pod = pods.create(json.dumps({"metadata": {"name": name, "labels": borne}, "spec": {}}).encode())
    uid = str(pod["metadata"]["uid"])
    ledger.start(worker, 1)
    ledger.created(worker, 1, uid)
    pods.end(name)
    ledger.record(worker, 1, uid, DONE)
    book.redis.delete("otto:scale:events:ottoscaler:replica:gone")
    return name


def test_pod_of_a_dead_owner_that_left_no_event_is_found_and_deleted(book: Book, pods: FakePods) -> None:
    name = leftover(book, pods, "dead")
    seeker = Seeker(book, pods)
    seeker.beat()
    for _ in range(USUAL_SIGHTS - 1):
        seeker.step()
    assert seeker.deletes.deleted == []
    seeker.step()
    assert seeker.deletes.deleted == [name]


def test_former_namespace_is_warned_of_once_and_forgotten_when_no_pod_is_left_there(
    book: Book, pods: FakePods, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unwatched, "FORGET_SECONDS", -1.0)
    noted = "otto:scale:events:ottoscaler:namespaces"
    book.redis.hset(noted, "former", 1)
    name = leftover(book, pods.in_namespace("former"), "dead")
    seeker = Seeker(book, pods)
    seeker.beat()
    for _ in range(3):
        seeker.step()
    assert book.redis.hexists(noted, "former")
    pods.in_namespace("former").vanish(name)
    for _ in range(2):
        seeker.step()
    assert not book.redis.hexists(noted, "former")
    assert caplog.text.count("(NAMESPACE): what is left there is deleted") == 1


def test_pods_that_some_replica_watches_are_not_listed(book: Book, pods: FakePods) -> None:
    other = Seeker(book, pods, "b", "b1")
    other.owners = frozenset({"b1", "taken-over"})
    other.beat()
    seeker = Seeker(book, pods)
    seeker.beat()
    (selector,) = seeker.step()
    assert selector.endswith("ottoscaler.io/owner notin (a1,b1,taken-over)")


def test_pods_of_a_silent_replica_are_looked_for_once_its_lease_is_over(book: Book, pods: FakePods) -> None:
    Seeker(book, pods, "b", "b1").beat()
    seeker = Seeker(book, pods)
    for since in (LEASE + 5, 25, 15, 5):
        seeker.beat(at=suspended_clock() - since)
        selectors = seeker.step()
    assert "notin (a1)" in selectors[0]


def test_pods_of_a_silent_replica_with_a_longer_lease_are_its_own_for_that_long(
    book: Book, pods: FakePods
) -> None:
    """As during an update of the setting."""
    Seeker(book, pods, "b", "b1").beat()
    book.redis.hset("otto:scale:events:ottoscaler:replica:b", "lease", str(2 * LEASE))
    seeker = Seeker(book, pods)
    for since in (LEASE + 5, 25, 15, 5):
        seeker.beat(at=suspended_clock() - since)
        selectors = seeker.step()
    assert "notin (a1,b1)" in selectors[0]


def test_pod_without_the_label_is_looked_for_too_and_given_more_time(book: Book, pods: FakePods) -> None:
    name = leftover(book, pods, None)
    seeker = Seeker(book, pods)
    seeker.beat()
    for _ in range(USUAL_SIGHTS):
        seeker.step()
    assert seeker.deletes.deleted == [], "it may be any live replica's, which is about to delete it"
    for _ in range(3):
        seeker.step()
    assert seeker.deletes.deleted == [name]


def test_one_replica_looks_and_another_when_its_claim_is_over(book: Book, pods: FakePods) -> None:
    first, second = Seeker(book, pods), Seeker(book, pods, "b", "b1")
    for seeker in (first, second):
        seeker.beat()
    assert [len(first.step()), len(second.step()), len(first.step())] == [1, 0, 1]
    (claim,) = book.redis.keys("*:search:*")
    assert book.redis.pttl(claim) > 0
    book.redis.delete(claim)
    assert [len(second.step()), len(first.step())] == [1, 0]


def test_replica_that_came_back_does_not_wait_for_its_own_claim(book: Book, pods: FakePods) -> None:
    first = Seeker(book, pods)
    first.beat()
    assert first.step()
    again = Seeker(book, pods, "a", "a2")
    again.beat()
    assert again.step()


def test_who_knows_an_earlier_installation_looks_beside_those_who_do_not(book: Book, pods: FakePods) -> None:
    """After Redis was emptied, a replica that came later can judge no Pod of before."""
    young, old = Seeker(book, pods), Seeker(book, pods, "b", "b1")
    old.ledger.identity.held_installations |= {"before"}
    for seeker in (young, old):
        seeker.beat()
    assert young.step()
    assert old.step()


def test_nothing_is_looked_for_while_somebody_watches_all(book: Book, pods: FakePods) -> None:
    other = Seeker(book, pods, "b", "b1")
    other.owners = None
    other.beat()
    seeker = Seeker(book, pods)
    seeker.beat()
    assert seeker.step() == []
    other.owners, seeker.owners = frozenset({"b1"}), None
    other.beat()
    seeker.beat()
    assert seeker.step() == []


def test_pods_of_a_replica_that_has_just_come_are_not_listed(book: Book, pods: FakePods) -> None:
    """Its heartbeat was never seen yet."""
    seeker = Seeker(book, pods)
    seeker.beat()
    Seeker(book, pods, "b", "b1")
    (selector,) = seeker.step()
    assert selector.endswith("notin (a1,b1)")


def test_too_many_watched_owners_are_not_named(book: Book, pods: FakePods) -> None:
    seeker = Seeker(book, pods)
    seeker.owners = frozenset(f"owner-{number}" for number in range(MOST_OWNERS + 1))
    seeker.beat()
    assert [("notin" in selector) for selector in seeker.step()] == [False]
