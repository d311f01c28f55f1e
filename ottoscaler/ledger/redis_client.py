"""The only way to Redis: commands, scripts and stream reads, with our own errors.

On a broken connection redis-py would send each command up to 11 times, also XREADGROUP and XADD. Then entries
would strand in our own pending list, and events would be doubled. Here every command is sent once. The caller
decides whether to try again, because it knows whether that is harmless. Only this module and the ledger's
other modules about Redis connections, errors and replies import redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from ottoscaler.config.hash_tags import cluster_problem
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BrokenKey, NotPermitted, RedisError, RedisUnavailable
from ottoscaler.ledger.checked_replies import CheckedReplies
from ottoscaler.ledger.kept_connection import KeptConnection
from ottoscaler.ledger.pipelining import RoundTrips, Words, packed
from ottoscaler.ledger.records import Entry, entries
from ottoscaler.ledger.redis_connections import connected, endpoint
from ottoscaler.ledger.redis_endpoint import Endpoint, nodes_of
from ottoscaler.ledger.redis_errors import translated, translated_errors
from ottoscaler.ledger.script_calls import ScriptCalls
from ottoscaler.telemetry.health import progress
from ottoscaler.telemetry.logs import get_logger

log = get_logger(__name__)

ANSWER_SECONDS = 3.0  # no command of ours takes longer on a healthy Redis
MOST_REDIRECTIONS = 5  # by nodes of a Redis Cluster, for one command


class RedisClient:
    """One user's connections to Redis. Thread-safe; it connects at the first command.

    All its commands share one connection (pipelining.py), but for transactions. The listener, the lease and
    the status page have a client each, and all other stages share one. So a blocked read or a slow answer
    never delays a heartbeat. The clients share an endpoint, so that all benefit when one of them notices a
    failover.

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
        self._kept = KeptConnection(self._client.connection_pool, self.endpoint)
        self._round_trips = RoundTrips(self._kept.exchange, wait_seconds=ANSWER_SECONDS)
        self._script_calls = ScriptCalls(settings)
        self._checked = CheckedReplies(self.endpoint)
        self.stream = settings.redis_stream
        self.results = settings.redis_results_stream
        self.dead = settings.redis_dead_stream
        self.group = settings.redis_consumer_group
        self.consumer = settings.redis_consumer
        self.instance = settings.instance
        self.prefix = f"{self.stream}:{self.group}:"

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Let no command within the block wait beyond ``deadline`` (monotonic), except for a Sentinel. Only
        for a client that one thread uses."""
        self.endpoint.deadline = deadline
        try:
            yield
        finally:
            self.endpoint.deadline = None

    def close(self) -> None:
        """Close the idle connections. One that a thread is using stays open.

        If its connection were closed meanwhile, that thread would get an error that is not redis-py's."""
        self._round_trips.when_idle(self._kept.give_back)
        with translated_errors():
            self._client.connection_pool.disconnect(inuse_connections=False)

    def command(self, *words: str | bytes | int) -> Any:
        """Send one command, once. Raises RedisUnavailable (may be tried again) or another RedisError."""
        reply = self._routed(lambda: self._round_trips.send(packed(words)), words)
        return self._checked.reply(words, reply)

    def command_or(self, default: Any, *words: str | bytes | int) -> Any:
        """Like :meth:`command`, but ``default`` for a key that another program has overwritten."""
        try:
            return self.command(*words)
        except BrokenKey:
            return default

    def pipeline(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Send several commands in one round trip, not as a transaction. They must only read.

        The answer is ``None`` for a key that another program has overwritten with another type."""
        return self._routed(lambda: self._send_pipeline(commands)) if commands else []

    def _send_pipeline(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        data = b"".join(map(packed, commands))
        answers: list[Any] = self._round_trips.send(data, len(commands))
        for at, answer in enumerate(answers):
            if not isinstance(answer, Exception):
                self._checked.reply(commands[at], answer)
            elif isinstance(translated(answer), BrokenKey):
                answers[at] = None
            else:
                raise answer
        return answers

    def script(self, name: str, installation: str, *args: str | bytes | int) -> Any:
        """Run ``scripts/<name>.lua``. Takes one round trip, or two if Redis does not know the script yet.

        Raises RedisUnavailable (may be tried again) or another RedisError."""
        answer = self._routed(lambda: self._send_script(name, installation, args))
        return self._checked.answer(name, answer)

    def scripts(
        self,
        name: str,
        installation: str,
        calls: Sequence[Words],
        meanwhile: Callable[[], None] | None,
    ) -> list[Any]:
        """Run a script once for each of these arguments, in this order, in one round trip.

        Otherwise the same as ``script``, but where Redis refuses one call, its answer is a RedisError."""
        answers = list(self._routed(lambda: self._send_scripts(name, installation, calls, meanwhile)))
        for answer in answers:
            if not isinstance(answer, RedisError):
                self._checked.answer(name, answer)
        return answers

    def _send_scripts(
        self, name: str, installation: str, calls: Sequence[Words], meanwhile: Callable[[], None] | None
    ) -> list[Any]:
        data = b"".join([self._script_calls.packed(name, installation, args) for args in calls])
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
        try:
            return self._round_trips.send(self._script_calls.packed(name, installation, args))
        except redis.exceptions.NoScriptError:
            return self._round_trips.send(packed(self._script_calls.whole(name, installation, *args)))

    def _routed(self, send: Callable[[], Any], words: Words | None = None) -> Any:
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
                slots = self._round_trips.send(packed(("CLUSTER", "SLOTS")))
            self._checked.reply(("CLUSTER", "SLOTS"), slots)
        except RedisError as error:
            log.debug("nodes_unknown", f"the cluster's nodes cannot be listed: {error}")
            return
        self.endpoint.learn_nodes(nodes_of(slots, self.endpoint.address()))

    def transaction(
        self, name: str, installation: str, args: Words, command: Words, *, watched: Sequence[str]
    ) -> Any:
        """Send a command that is too large for a script, but only if a script allows it.

        The script's step ``look`` runs first. If it answers ok, the command and the script's step ``close``
        run in one transaction, unless a ``watched`` key has changed meanwhile. Returns the script's last
        answer. Raises RedisUnavailable if a key has changed, since trying again may help.
        """
        look, close = (
            self._script_calls.whole(name, installation, step, *args) for step in ("look", "close")
        )

        def send() -> Any:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.response_callbacks = {}
                pipe.watch(*watched)
                seen = self._checked.answer(name, pipe.execute_command(*look))
                if seen[0] != b"ok":
                    return seen
                pipe.multi()
                pipe.execute_command(*command)
                pipe.execute_command(*close)
                try:
                    return pipe.execute()[-1]
                except (TypeError, AttributeError) as error:  # redis-py takes a list for granted
                    raise redis.InvalidResponse("its answer to EXEC is no list") from error

        return self._checked.answer(name, self._routed(send))

    def read(self, *, count: int, behind: str = ">", block_ms: int | None = None) -> list[Entry]:
        """XREADGROUP: new entries, or our own pending entries after the id ``behind``, which never blocks."""
        words: list[str | int] = ["XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", count]
        if block_ms is not None and behind == ">":
            words += ["BLOCK", block_ms]
        words += ["STREAMS", self.stream, behind]
        answer = self.command(*words)
        return entries(answer[0][1]) if answer else []

    def client_id(self) -> int:
        """Redis's id of the connection that ``read`` uses; -1 without the right to ask."""
        try:
            return int(self.command("CLIENT", "ID"))
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
