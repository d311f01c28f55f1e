"""Makes connections to Redis: address, credentials, TLS and timeouts."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.credentials import CredentialProvider
from redis.exceptions import MovedError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection, SentinelManagedSSLConnection

from ottoscaler.config.kinds import readable_file
from ottoscaler.config.settings import Settings
from ottoscaler.ledger.bounded_replies import BoundedParser
from ottoscaler.ledger.paced_replies import PacedParser
from ottoscaler.ledger.redis_endpoint import Address, Endpoint
from ottoscaler.ledger.redis_errors import Pausing, translated_errors, wrong_server
from ottoscaler.telemetry.redaction import hide

CONNECT_SECONDS = 2.0  # a half-open connection costs no more than this
SENTINEL_SECONDS = 1.0  # for a Sentinel that is asked who the master is: to connect, and to answer
LEAST_SECONDS = 0.001  # what is waited for at least, since a timeout of 0 would mean not to wait at all
LONGEST_PASSWORD = 65_536  # bytes of a password file; a larger file is hardly one


_MASTERS = "SENTINEL MASTERS"

_AnyConnection: Any = object  # it is mixed into several of redis-py's classes


class _Followed(_AnyConnection):  # type: ignore[misc]
    """Mixed into redis-py's connections, so that they follow the endpoint.

    When an answer says that this server cannot serve us any more, the connection tells the endpoint. After
    that, every older connection is made anew before its next use."""

    socket_connect_timeout: Any

    def __init__(self, *, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = endpoint
        self._connect_seconds = self.socket_connect_timeout
        self.generation = 0  # the endpoint's generation when this connection was made

    def connect(self) -> None:
        """The pool calls this before each use."""
        if self._sock and self.generation != self._endpoint.generation:
            self.disconnect()
        super().connect()

    def _connect(self) -> Any:
        pause, answer = self._endpoint.pause()
        if pause > 0:
            raise Pausing(f"{answer}, so it is connected to anew, in {pause:.1f} s")
        self.generation = self._endpoint.generation
        self.socket_connect_timeout = self._within(self._connect_seconds)
        return super()._connect()

    def _within(self, seconds: float) -> float:
        """So many seconds, or what is left until the endpoint's deadline."""
        deadline = self._endpoint.deadline
        return seconds if deadline is None else max(LEAST_SECONDS, min(seconds, deadline - time.monotonic()))

    def read_response(self, *args: Any, **options: Any) -> Any:
        if self._endpoint.deadline is not None:
            options["timeout"] = self._within(self.socket_timeout)
        try:
            return super().read_response(*args, **options)
        except MovedError as error:
            # If the answer has no host, it means the answering host with another port.
            self._endpoint.moved((error.host or str(getattr(self, "host", "")), error.port), self.generation)
            raise
        except (ValueError, RecursionError) as error:  # redis-py's parser hands these on
            self.disconnect()
            raise redis.InvalidResponse(f"its answer is not RESP: {error}") from error
        except Exception as error:
            if word := wrong_server(error):
                self._endpoint.wrong_server(word, self.generation)
            raise


class _Routed(_Followed):
    """A TCP connection to the endpoint's present address, or to ``fixed``."""

    fixed: Address | None = None

    def _connect(self) -> Any:
        self.host, self.port = address = self.fixed or self._endpoint.address()
        try:
            return super()._connect()
        except OSError:
            self._endpoint.unreachable(address)
            raise


class _Tcp(_Routed, redis.Connection):
    pass


class _WithFiles(_AnyConnection):  # type: ignore[misc]
    """Mixed into TLS connections, which read their files at every connect."""

    def connect(self) -> None:
        files = {
            "REDIS_TLS_CA_FILE": self.ca_certs,
            "REDIS_TLS_CERT_FILE": self.certfile,
            "REDIS_TLS_KEY_FILE": self.keyfile,
        }
        for variable, path in files.items():
            if path and not self._sock:
                check_file(variable, path)
        super().connect()


class _Tls(_WithFiles, _Routed, SSLConnection):
    pass


class _Socket(_Followed, UnixDomainSocketConnection):
    pass


class _Led(_Followed):
    """A connection to the master that a Sentinel names."""

    def _connect(self) -> Any:
        made = super()._connect()
        self._endpoint.reached((self.host, self.port))
        return made


class _SentinelTcp(_Led, SentinelManagedConnection):
    pass


class _SentinelTls(_WithFiles, _Led, SentinelManagedSSLConnection):
    pass


class _AskingTls(_WithFiles, SSLConnection):
    """A connection to a Sentinel itself."""


class SentinelClient:
    """Asks one Sentinel. One thread uses it."""

    def __init__(self, settings: Settings, host: Address) -> None:
        options = connection_options(settings, answer_seconds=SENTINEL_SECONDS)
        options["socket_connect_timeout"] = SENTINEL_SECONDS
        self._sentinel = _sentinel(settings, [host], options)
        self._name = settings.redis_sentinel_master

    def master(self) -> Address:
        """Who it says the master is. Raises RedisError if it does not answer, or knows none."""
        with translated_errors():
            host, port = self._sentinel.discover_master(self._name)
        return host, port


def sentinel_clients(settings: Settings) -> list[SentinelClient]:
    """A client for each Sentinel. Empty if none is configured, or REDIS_URL says where Redis is."""
    return [] if settings.redis_url else [SentinelClient(settings, host) for host in _hosts(settings)]


def _hosts(settings: Settings) -> list[Address]:
    return [(host, int(port)) for host, port in settings.redis_sentinels]


def check_file(variable: str, path: str) -> None:
    """Raise redis.ConnectionError, which names the file, unless it is one that may be read.

    It was one at the start, but may have been replaced since: opening a named pipe would block for ever."""
    try:
        readable_file(path)
    except ValueError as error:
        raise redis.ConnectionError(f"{variable} {path!r} cannot be read: {error}") from None


class PasswordFile(CredentialProvider):
    """Reads the password again at every connect, so that a rotated password needs no restart."""

    def __init__(self, path: str, username: str = "") -> None:
        self._path = path
        self._username = username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The password, after the username if there is one.

        Raises redis.ConnectionError, which names the file, if no password can be read from it."""
        check_file("REDIS_PASSWORD_FILE", self._path)
        try:
            with Path(self._path).open("rb") as file:
                text = file.read(LONGEST_PASSWORD + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise redis.ConnectionError(
                f"REDIS_PASSWORD_FILE {self._path!r} cannot be read: {reason}"
            ) from None
        password = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
        if not password or len(text) > LONGEST_PASSWORD:
            raise redis.ConnectionError(f"REDIS_PASSWORD_FILE {self._path!r} contains no password")
        hide(password)
        return (self._username, password) if self._username else (password,)


def connection_options(settings: Settings, *, answer_seconds: float) -> dict[str, Any]:
    """redis-py's options for all our connections. They contain the password, so they must not be logged."""
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds,
        "socket_keepalive": True,
        "health_check_interval": 0,
    }
    if settings.redis_tls:
        files = {
            "ssl_ca_certs": settings.redis_tls_ca_file,
            "ssl_certfile": settings.redis_tls_cert_file,
            "ssl_keyfile": settings.redis_tls_key_file,
        }
        options.update({name: path for name, path in files.items() if path})
        options["ssl_password"] = ""  # else OpenSSL asks on the terminal for an encrypted key's, and waits
    if settings.redis_url:
        options.update(parse_url(settings.redis_url))  # type: ignore[no-untyped-call]
        options.pop("connection_class", None)
    else:
        options["db"] = settings.redis_db
        options["username"] = settings.redis_username or None
        options["password"] = settings.redis_password or None
    if "path" in options:
        del options["socket_keepalive"]  # only TCP connections take it
    if settings.redis_password_file:
        username = options.pop("username", None) or ""
        options.pop("password", None)
        options["credential_provider"] = PasswordFile(settings.redis_password_file, username)
    return options


def endpoint(settings: Settings) -> Endpoint:
    """The endpoint that all connections of one process share."""
    if settings.redis_url:
        options = parse_url(settings.redis_url)  # type: ignore[no-untyped-call]
        if "path" in options:
            return Endpoint()
        return Endpoint((options.get("host", "localhost"), options.get("port", 6379)))
    if settings.redis_sentinels:
        return Endpoint()
    return Endpoint((settings.redis_host, settings.redis_port))


def connected(
    settings: Settings, shared: Endpoint, answer_seconds: float, bounded_entries: bool, name: str
) -> Any:
    """A redis-py client. It connects at its first command."""
    options = connection_options(settings, answer_seconds=answer_seconds)
    options["endpoint"] = shared
    options["client_name"] = name or None
    options["parser_class"] = BoundedParser if bounded_entries else PacedParser
    if settings.redis_sentinels and not settings.redis_url:
        sentinel = _sentinel(settings, _hosts(settings), options)
        led = _SentinelTls if settings.redis_tls else _SentinelTcp
        client = sentinel.master_for(settings.redis_sentinel_master, connection_class=led)
    else:
        kind: type[redis.connection.AbstractConnection] = _Tls if settings.redis_tls else _Tcp
        pool = ConnectionPool(connection_class=_Socket if "path" in options else kind, **options)
        client = redis.Redis(connection_pool=pool)
    # Without callbacks, answers come as Redis sends them, whatever the version of redis-py.
    client.response_callbacks.clear()
    return client


def _sentinel(settings: Settings, hosts: list[Address], options: dict[str, Any]) -> Any:
    masters_own = ("db", "username", "password", "credential_provider", "endpoint", "parser_class")
    asking = {name: value for name, value in options.items() if name not in masters_own}
    if settings.redis_tls:
        asking["ssl"] = True
    made: Any = Sentinel(hosts, sentinel_kwargs=asking, **options)  # type: ignore[no-untyped-call]
    for client in made.sentinels:
        if settings.redis_tls:
            client.connection_pool.connection_class = _AskingTls
        parse = client.response_callbacks[_MASTERS]
        client.set_response_callback(_MASTERS, partial(_parsed_masters, parse))
    return made


def _parsed_masters(parse: Callable[..., Any], answer: Any, **options: Any) -> Any:
    """What a Sentinel says of its masters. An error lets the next Sentinel be asked."""
    try:
        masters = parse(answer, **options)
        for state in masters.values():
            str(state["ip"]), int(state["port"]), int(state["num-other-sentinels"])
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise redis.ConnectionError("its answer is not a Sentinel's") from error
    return masters
