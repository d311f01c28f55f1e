"""The only way to Redis: commands, scripts and stream reads, with our own errors.

On a broken connection redis-py would send each command up to 11 times, also XREADGROUP and XADD. Then entries
would strand in our own pending list, and events would be doubled. Here every command is sent once. The caller
decides whether to try again, because it knows whether that is harmless. Only this module and the ledger's
other modules about Redis connections, errors and replies import redis.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from typing import Any

import redis

from ottoscaler.config.hash_tags import cluster_problem
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BrokenKey, NotPermitted, RedisError, RedisUnavailable
from ottoscaler.ledger.pipelining import Beginning, Call, RoundTrips, Words, packed
from ottoscaler.ledger.records import Entry, entries
from ottoscaler.ledger.redis_connections import CALLS_IN_FLIGHT, connected, endpoint
from ottoscaler.ledger.redis_endpoint import Endpoint, nodes_of
from ottoscaler.ledger.redis_errors import translated, translated_errors
from ottoscaler.telemetry.health import progress
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

ANSWER_SECONDS = 3.0  # no command of ours takes longer on a healthy Redis
FRESH_SECONDS = 0.5  # a connection used within this time is not checked for having been closed by the server
MOST_BEGINNINGS = 128  # kept packed; enough for the scripts of some three installations
MOST_REDIRECTIONS = 5  # by nodes of a Redis Cluster, for one command


@cache
def _script(name: str) -> tuple[str, str]:
    """A script's text, with the prelude before it, and the SHA-1 by which Redis knows it."""
    folder = resources.files("ottoscaler.ledger") / "scripts"
    text = (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _answer(connection: Any) -> Any:
    """The next answer, or the refusal that Redis answered with."""
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


class RedisClient:
    """One user's connections to Redis. Thread-safe; it connects at the first command.

    The listener and the lease have a client each, and all other stages share one. So a blocked read or a busy
    pool never delays a heartbeat. The clients share an endpoint, so that all benefit when one of them notices
    a failover.

    With ``bounded_entries``, an entry that is too large to be held is cut (bounded_replies.py). ``name`` is
    what CLIENT LIST shows. With an empty name, the right to CLIENT SETNAME is not needed.
    """

    def __init__(
        self,
        settings: Settings,
        shared: Endpoint | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        bounded_entries: bool = False,
        name: str = "ottoscaler",
    ) -> None:
        self._settings = settings
        self.endpoint = shared or endpoint(settings)
        self._client = connected(settings, self.endpoint, answer_seconds, bounded_entries, name)
        self._gate = threading.BoundedSemaphore(CALLS_IN_FLIGHT)
        self._kept: Any = None  # the connection that is kept between two round trips
        self._kept_at = 0.0  # monotonic, when it was used last
        self._beginnings: dict[tuple[str, str], Beginning] = {}  # by script and installation
        self._round_trips = RoundTrips(self._exchange, wait_seconds=ANSWER_SECONDS)
        self.stream = settings.redis_stream
        self.results = settings.redis_results_stream
        self.dead = settings.redis_dead_stream
        self.group = settings.redis_consumer_group
        self.consumer = settings.redis_consumer
        self.instance = settings.instance
        self.prefix = f"{self.stream}:{self.group}:"
        self._keys = (self.prefix, self.stream, self.results, self.dead)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._gate.acquire(timeout=ANSWER_SECONDS):
            raise RedisUnavailable(f"{CALLS_IN_FLIGHT} commands wait for Redis already")
        try:
            yield
        finally:
            self._gate.release()

    def close(self) -> None:
        """Close the idle connections. One that a thread is using stays open.

        If its connection were closed meanwhile, that thread would get an error that is not redis-py's."""
        self._round_trips.when_idle(self._give_back)
        with translated_errors():
            self._client.connection_pool.disconnect(inuse_connections=False)

    def command(self, *words: str | bytes | int) -> Any:
        """Send one command, once. Raises RedisUnavailable (may be tried again) or another RedisError."""
        with self._place():
            return self._led(lambda: self._client.execute_command(*words), words)

    def command_or(self, default: Any, *words: str | bytes | int) -> Any:
        """Like :meth:`command`, but ``default`` for a key that another program has overwritten."""
        try:
            return self.command(*words)
        except BrokenKey:
            return default

    def pipeline(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Send several commands in one round trip, not as a transaction. They must only read.

        The answer is ``None`` for a key that another program has overwritten with another type."""
        with self._place():
            return list(self._led(lambda: self._send_pipeline(commands)))

    def _send_pipeline(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> Any:
        pipe = self._client.pipeline(transaction=False)
        pipe.response_callbacks = {}
        for words in commands:
            pipe.execute_command(*words)
        answers = pipe.execute(raise_on_error=False)
        for at, answer in enumerate(answers):
            if isinstance(answer, Exception):
                if not isinstance(translated(answer), BrokenKey):
                    raise answer
                answers[at] = None
        return answers

    def script(self, name: str, installation: str, *args: str | bytes | int) -> Any:
        """Run ``scripts/<name>.lua``. Takes one round trip, or two if Redis does not know the script yet.

        Raises RedisUnavailable (may be tried again) or another RedisError."""
        return self._led(lambda: self._send_script(name, installation, args))

    def scripts(
        self,
        name: str,
        installation: str,
        calls: Sequence[Words],
        meanwhile: Callable[[], None] | None,
    ) -> list[Any]:
        """Run a script once for each of these arguments, in this order, in one round trip.

        Otherwise the same as ``script``, but where Redis refuses one call, its answer is a RedisError."""
        return list(self._led(lambda: self._send_scripts(name, installation, calls, meanwhile)))

    def _send_scripts(
        self, name: str, installation: str, calls: Sequence[Words], meanwhile: Callable[[], None] | None
    ) -> list[Any]:
        beginning = self._beginning(name, installation)
        data = b"".join([packed(args, beginning) for args in calls])
        answers: list[Any] = self._round_trips.send(data, len(calls), meanwhile)
        for at, args in enumerate(calls):
            if isinstance(answers[at], redis.exceptions.NoScriptError):
                answers[at] = self._sent_alone(name, installation, args)
            if isinstance(answers[at], (redis.exceptions.MovedError, redis.exceptions.AskError)):
                raise answers[at]
            if isinstance(answers[at], redis.RedisError):
                answers[at] = translated(answers[at])
        return answers

    def _sent_alone(self, name: str, installation: str, args: Words) -> Any:
        try:
            return self._send_script(name, installation, args)
        except redis.ResponseError as error:
            return error

    def _send_script(self, name: str, installation: str, args: Words) -> Any:
        beginning = self._beginning(name, installation)
        try:
            return self._round_trips.send(packed(args, beginning))
        except redis.exceptions.NoScriptError:
            text = _script(name)[0]
            return self._round_trips.send(packed(("EVAL", text, *self._script_words(installation, *args))))

    def _beginning(self, name: str, installation: str) -> Beginning:
        beginning = self._beginnings.get((name, installation))
        if beginning is None:
            if len(self._beginnings) >= MOST_BEGINNINGS:  # an installation's id changes with a wiped Redis
                self._beginnings.clear()
            beginning = Beginning("EVALSHA", _script(name)[1], *self._script_words(installation))
            self._beginnings[name, installation] = beginning
        return beginning

    def _led(self, send: Callable[[], Any], words: Words | None = None) -> Any:
        """What ``send`` returns, following the redirections of a Redis Cluster.

        A node that names another node has not carried out the command. So the command is sent again to the
        named node: after MOVED, all later commands go there too; after ASK, only this one does, which needs
        ``words``."""
        for _ in range(MOST_REDIRECTIONS):
            try:
                return send()
            except redis.exceptions.MovedError:
                pass  # the connection has told the endpoint
            except redis.exceptions.AskError as error:
                if words is None:
                    raise translated(error) from error
                with translated_errors():
                    return self._asked(error.host, error.port, words)
            except (redis.RedisError, OSError) as error:
                raise translated(error) from error
            finally:
                progress()
            self._learn_nodes()
        raise RedisUnavailable(f"each of {MOST_REDIRECTIONS} nodes says that another serves our hash slot")

    def _asked(self, host: str, port: int, words: Words) -> Any:
        """Send one command to the node that our hash slot is being moved to."""
        pool = self._client.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        connection.fixed = (host or self.endpoint.address()[0], port)
        try:
            connection.connect()
            connection.send_packed_command(connection.pack_commands([("ASKING",), words]))
            connection.read_response()
            return connection.read_response()
        finally:
            connection.disconnect()

    def _learn_nodes(self) -> None:
        """Remember the nodes of a Redis Cluster. When the node that serves our slot dies, any other knows the
        new one."""
        try:
            with translated_errors():
                slots = self._client.execute_command("CLUSTER", "SLOTS")
        except RedisError as error:
            log.debug("nodes_unknown", f"the cluster's nodes cannot be listed: {error}")
            return
        self.endpoint.learn_nodes(nodes_of(slots, self.endpoint.address()))

    def _script_words(self, installation: str, *args: str | bytes | int) -> Words:
        s = self._settings
        bounds = (s.results_maxlen, s.results_max_bytes, s.dead_max_bytes)
        others = (s.namespace, int(s.retention_seconds * 1000))
        return (len(self._keys), *self._keys, self.group, installation, *bounds, *others, *args)

    def transaction(
        self, name: str, installation: str, args: Words, command: Words, *, watched: Sequence[str]
    ) -> Any:
        """Send a command that is too large for a script, but only if a script allows it.

        The script's step ``look`` runs first. If it answers ok, the command and the script's step ``close``
        run in one transaction, unless a ``watched`` key has changed meanwhile. Returns the script's last
        answer. Raises RedisUnavailable if a key has changed, since trying again may help.
        """
        text, _ = _script(name)
        look, close = (
            ("EVAL", text, *self._script_words(installation, step, *args)) for step in ("look", "close")
        )

        def send() -> Any:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.response_callbacks = {}
                pipe.watch(*watched)
                seen = pipe.execute_command(*look)
                if seen[0] != b"ok":
                    return seen
                pipe.multi()
                pipe.execute_command(*command)
                pipe.execute_command(*close)
                return pipe.execute()[-1]

        with self._place():
            return self._led(send)

    def _exchange(self, calls: Sequence[Call]) -> None:
        """Make one round trip. Only one thread at a time does, so the connection is kept for the next one."""
        connection = self._connection()
        try:
            connection.send_packed_command([b"".join([call.data for call in calls])])
            if calls[0].meanwhile is not None:
                calls[0].meanwhile()
            for call in calls:
                answers = [_answer(connection) for _ in range(call.commands or 1)]
                if call.commands is not None:
                    call.answer = answers
                elif isinstance(answers[0], redis.ResponseError):
                    call.error = answers[0]
                else:
                    call.answer = answers[0]
        except BaseException:
            connection.disconnect()
            self._give_back()
            raise
        self._kept_at = time.monotonic()

    def _connection(self) -> Any:
        """The kept connection. If the server has closed it in a pause, or after a failover, the pool makes it
        anew.

        The pool's own check of a connection takes 0.2 ms after a pause, most of it for redis-py's metrics."""
        kept = self._kept
        if kept is not None and kept.generation == self.endpoint.generation:
            if time.monotonic() - self._kept_at <= FRESH_SECONDS:
                return kept
            with suppress(redis.RedisError, OSError):
                if not kept.can_read():  # what it could read is its end
                    return kept
        self._give_back()
        self._kept = self._client.connection_pool.get_connection()
        return self._kept

    def _give_back(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            self._client.connection_pool.release(kept)

    def read(self, *, count: int, behind: str = ">", block_ms: int | None = None) -> list[Entry]:
        """XREADGROUP: new entries, or our own pending entries after the id ``behind``, which never blocks."""
        words: list[str | int] = ["XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", count]
        if block_ms is not None and behind == ">":
            words += ["BLOCK", block_ms]
        words += ["STREAMS", self.stream, behind]
        answer = self._led(lambda: self._round_trips.send(packed(words)), words)
        return entries(answer[0][1]) if answer else []

    def client_id(self) -> int:
        """Redis's id of the connection that ``read`` uses; -1 without the right to ask."""
        try:
            return int(self._led(lambda: self._round_trips.send(packed(("CLIENT", "ID")))))
        except NotPermitted:
            return -1

    def run_id(self) -> str:
        """The id of this run of the Redis server; '' without the right to ask (an ACL without INFO)."""
        return self._info("server", "run_id")

    def cluster_problem(self) -> str:
        """Why this Redis Cluster cannot be used, in one sentence.

        '' if it can be used, if this Redis is not a cluster, or without the right to ask. Also remembers the
        nodes of a cluster that can be used."""
        if self._info("cluster", "cluster_enabled") != "1":
            return ""
        problem = cluster_problem(self._settings)
        if not problem:
            self._learn_nodes()
        return problem

    def _info(self, section: str, name: str) -> str:
        try:
            info = self.command("INFO", section)
        except NotPermitted:
            return ""
        found = [line for line in info.decode().splitlines() if line.startswith(f"{name}:")]
        return found[0].partition(":")[2].strip() if found else ""
