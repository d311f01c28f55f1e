"""One reply to any of our commands is replaced, as by a proxy that mixes up its clients: never more than a
RedisError comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ottoscaler.cli.check_redis import RedisCheck
from ottoscaler.client import Client, ClientError, client, sending
from ottoscaler.config.settings import Settings
from ottoscaler.controller.housekeeping import Housekeeping
from ottoscaler.errors import NoAnswer, RedisError
from ottoscaler.ledger import heartbeats, redis_connections
from ottoscaler.ledger.broken_keys import broken_keys
from ottoscaler.ledger.heartbeats import Heartbeats
from ottoscaler.ledger.identity import ReplicaIdentity, kept_installation
from ottoscaler.ledger.kept_logs import kept_logs
from ottoscaler.ledger.ledger import Ledger
from ottoscaler.ledger.pause import pause, paused_since, resume
from ottoscaler.ledger.redis_client import RedisClient
from ottoscaler.model import Outcome, Reason, ScaleUp, Status, WorkerId
from ottoscaler.status.dead_letters import DeadLetters
from ottoscaler.status.event_results import ResultsMemory
from ottoscaler.status.events import event_fields
from ottoscaler.status.overview import Overview
from ottoscaler.status.search import search
from ottoscaler.status.snapshot import SnapshotReader
from ottoscaler.status.story import log_text, story
from ottoscaler.telemetry.metrics import Metrics
from tests.harness.ledger_steps import DONE, add, add_down, begin, owned, read
from tests.harness.redis_fixture import Book, book, redis_server

__all__ = ["book", "redis_server"]

NONSENSE: list[Any] = [7, None, b"OK", [None], [[b"x"]], [b"ok", 1, 2]]
MOST_REPLIES = 60  # of one call that are replaced, one after the other


class Told:
    """The events that the calls are about."""

    def __init__(self, book: Book) -> None:
        ledger = book.ledger()
        self.event, self.other = add(book, count=4), add(book, count=1)
        self.down = add_down(book, "t")
        self.entries = read(book)
        for event in (self.event, self.other, self.down):
            owned(ledger, event)
        self.worker = begin(ledger, self.event, 0)
        ledger.logs.keep(self.worker, 1, b"log", 60.0, 65536)
        begin(ledger, self.event, 1)
        ledger.record(begin(ledger, self.other, 0), 1, "uid-0-0", DONE)
        ledger.record(begin(ledger, self.event, 2), 1, "uid-2-0", Outcome(Status.FAILED, Reason.ERROR))
        ledger.dead_letter(book.redis.xadd("otto:scale:events", {"type": "x"}), "bad", [(b"type", b"x")])
        book.redis.xadd("otto:scale:events", {"type": "scale_up", "pod_count": 1, "task_id": "unread"})
        self.letter = book.redis.xrange("otto:scale:dead")[0][0]


def calls(told: Told) -> dict[str, Callable[[RedisClient, Ledger], object]]:
    event_id, worker = told.event.event_id, told.worker
    wide = [(b"n%d" % number, b"") for number in range(4000)]
    return {
        "join": lambda _, book: book.join_installation("x"),
        "ensure_group": lambda _, book: book.upkeep.ensure_group(),
        "take": lambda _, book: book.take(told.event, told.entries[0]),
        "take_all": lambda _, book: book.take_all([(told.event, b"[]")] * 3),
        "take_over": lambda _, book: book.take_over(event_id, "b/1"),
        "owner_of": lambda _, book: book.owner_of(event_id),
        "offer": lambda _, book: book.offer(event_id, 1),
        "start": lambda _, book: book.start(WorkerId(event_id, 3, 0), 1),
        "created": lambda _, book: book.created(worker, 1, "uid-0-0"),
        "overtime": lambda _, book: book.overtime(worker, 1, "uid-0-0"),
        "unstart": lambda _, book: book.unstart(worker, 1),
        "skip": lambda _, book: book.skip(worker, 1),
        "retry": lambda _, book: book.retry(worker, 1, "uid-0-0", 1.0, "", "why"),
        "record": lambda _, book: book.record(worker, 1, "uid-0-0", DONE),
        "dead_letter": lambda _, book: book.dead_letter("9-9", "bad", [(b"a", b"b")]),
        "dead_letter of very many fields": lambda _, book: book.dead_letter("9-8", "bad", wide),
        "reseed": lambda _, book: book.reseed(ScaleUp(event_id, "t", 4), b"[]", 1, {}),
        "register": lambda _, book: book.replicas.register("{}"),
        "beat": lambda _, book: book.replicas.beat("{}", survey=False),
        "survey": lambda _, book: book.replicas.beat("{}", survey=True),
        "owned": lambda _, book: book.replicas.owned("a/1", 10),
        "claim_pending": lambda _, book: book.replicas.claim_pending("b", "1", "1", 10),
        "next_pending": lambda _, book: book.replicas.next_pending("0", 5, left_by_the_dead=True),
        "survived": lambda _, book: book.replicas.survived(event_id),
        "forget": lambda _, book: book.replicas.forget("b", "1", "1"),
        "states": lambda _, book: book.upkeep.states([(event_id, 0)]),
        "expire": lambda _, book: book.upkeep.expire(60.0, 10, 0),
        "bound": lambda _, book: book.upkeep.bound(60.0, 60.0, 10, "0"),
        "claim_search": lambda _, book: book.upkeep.claim_search(1.0, (), 1.0),
        "find_lost": lambda _, book: book.upkeep.find_lost(),
        "report_orphan": lambda _, book: book.upkeep.report_orphan(worker, "u", "t", "{}", DONE),
        "candidates": lambda _, book: book.scale_downs.candidates(told.down.event_id, "t"),
        "cancel": lambda _, book: book.scale_downs.cancel(told.down.event_id, 1, 1, [(event_id, 1)]),
        "victims": lambda _, book: book.scale_downs.victims(told.down.event_id, 1),
        "finish": lambda _, book: book.scale_downs.finish(told.down.event_id, 1, patient=True),
        "look_ahead": lambda _, book: book.scale_downs.look_ahead("0-0", 10),
        "keep": lambda _, book: book.logs.keep(worker, 1, b"log", 60.0, 65536),
        "let_go": lambda _, book: book.logs.let_go(60.0, 65536),
        "unseen": lambda _, book: (book.unseen.note("p", "u"), book.unseen.some(), book.unseen.forget("p")),
        "measure": lambda _, book: _housekeeping(book).measure(),
        "read": lambda redis, _: redis.read(count=5, behind="0"),
        "read new": lambda redis, _: redis.read(count=1, block_ms=1),
        "client_id": lambda redis, _: redis.client_id(),
        "run_id": lambda redis, _: redis.run_id(),
        "cluster_problem": lambda redis, _: redis.cluster_problem(),
        "pause": lambda redis, _: (pause(redis), paused_since(redis), resume(redis)),
        "installation": lambda redis, _: kept_installation(redis),
        "broken_keys": lambda redis, _: broken_keys(redis),
        "logs": lambda redis, _: list(kept_logs(redis, event_id)),
        "heartbeats": lambda redis, _: Heartbeats(redis).glance(),
        "snapshot": lambda redis, _: SnapshotReader(redis).read(),
        "overview": lambda redis, _: Overview(redis, "i").read(),
        "story": lambda redis, _: story(redis, "i", ResultsMemory(redis), event_id),
        "log_text": lambda redis, _: log_text(redis, event_id, 0, 0),
        "search": lambda redis, _: (search(redis, "t"), search(redis, event_id)),
        "fields": lambda redis, _: event_fields(redis, event_id),
        "letters": lambda redis, _: _letters(redis, told.letter),
        "client": lambda redis, _: _producer(redis, told),
        "check": lambda redis, _: list(RedisCheck(Settings(redis_url=redis._settings.redis_url)).findings()),
    }


def _housekeeping(ledger: Ledger) -> Housekeeping:
    return Housekeeping(ledger, Metrics(), retention=60.0, dead_retention=60.0, logs_total_bytes=65536)


def _letters(redis: RedisClient, letter: str) -> object:
    letters = DeadLetters(redis)
    told = (letters.newest(5), letters.newest_cut(5), letters.length(), list(letters.everything()))
    return told, letters.named(["1-0"]), letters.replay(letter), letters.drop(["9-9"])


def _producer(redis: RedisClient, told: Told) -> None:
    with Client(redis._settings.redis_url) as made:
        try:
            made.scale_up(1)
            made.wait(told.other.event_id, 5)
            list(made.results())
            list(made.logs(told.event.event_id))
        except ClientError:
            pass


class Replies:
    """Replaces the reply number ``at`` of what is read from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.instead, self.number = -1, None, 0
        real = redis_connections._Followed.read_response

        def read_response(connection: Any, *args: Any, **options: Any) -> Any:
            reply = real(connection, *args, **options)
            self.number += 1
            return self.instead if self.number == self.at + 1 else reply

        monkeypatch.setattr(redis_connections._Followed, "read_response", read_response)

    def replace(self, at: int, instead: Any) -> None:
        self.at, self.instead, self.number = at, instead, 0


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replies]:
    for name in ("BEATS_MISSED", "LOOK_SECONDS"):  # nobody sends any
        monkeypatch.setattr(heartbeats, name, 0.0)
    for module in (client, sending):
        monkeypatch.setattr(module, "AWAY_SECONDS", 0.01)
    made = Replies(monkeypatch)
    yield made
    made.replace(-1, None)


@pytest.mark.parametrize("instead", NONSENSE, ids=repr)
def test_reply_of_a_wrong_shape_is_at_most_a_redis_error(book: Book, replies: Replies, instead: Any) -> None:
    """Before, it ended the thread that read it, and with it the process."""
    wrong = []
    for name, call in calls(Told(book)).items():
        for at in range(MOST_REPLIES):
            redis = RedisClient(book.settings)
            who = ReplicaIdentity("a", "1")
            who.join(kept_installation(book.stream()))
            replies.replace(at, instead)
            try:
                call(redis, Ledger(redis, who))
            except RedisError:
                pass
            except Exception as error:  # noqa: BLE001
                wrong.append(f"{name}, reply {at}: {type(error).__name__}: {error}")
            seen, replies.at = replies.number, -1
            redis.close()
            if seen <= at:
                break
    assert wrong == []


def test_it_is_told_in_one_sentence_and_costs_the_connection(book: Book, replies: Replies) -> None:
    ledger = book.ledger()
    before = book.redis.client_list()
    replies.replace(0, 7)
    with pytest.raises(
        NoAnswer,
        match=r"^Redis is unavailable: it answered the script states\.lua with a number, which Redis never "
        "does; a proxy or another program may be in its place$",
    ):
        ledger.upkeep.states([("1-0", 0)])
    with pytest.raises(RedisError, match="nonsense to the script"):  # none is made within 0.1 s
        ledger.upkeep.states([("1-0", 0)])
    assert len(book.redis.client_list()) < len(before) + 1
