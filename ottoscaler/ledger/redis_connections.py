"""How connections to Redis are made: address, credentials, TLS and timeouts."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from ottoscaler.config.load import Settings

CONNECT_SECONDS = 2.0  # a half-open connection costs no more than this
CALLS_IN_FLIGHT = 16  # commands at one time from one process; more gain nothing on one Redis thread


def connection_options(settings: Settings, *, answer_seconds: float) -> dict[str, Any]:
    """How every connection of ours is made. Holds the password: for redis-py only, never for a log."""
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "client_name": "ottoscaler",
        "max_connections": 2 * CALLS_IN_FLIGHT,
    }
    files = {
        "ssl_ca_certs": settings.redis_tls_ca_file,
        "ssl_certfile": settings.redis_tls_cert_file,
        "ssl_keyfile": settings.redis_tls_key_file,
    }
    tls = {name: path for name, path in files.items() if path}
    if settings.redis_url:
        if settings.redis_url.startswith("rediss://"):
            options.update(tls)
        if settings.redis_url.startswith("unix://"):
            del options[
                "socket_keepalive"
            ]  # TCP's; redis-py's connection to a socket's path does not know it
        return options
    options["db"] = settings.redis_db
    options["username"] = settings.redis_username or None
    options["password"] = settings.redis_password or None
    if tls:
        options.update(tls, ssl=True)
    return options


def connected(settings: Settings, answer_seconds: float) -> Any:  # redis-py's own annotations say too little
    options = connection_options(settings, answer_seconds=answer_seconds)
    if settings.redis_url:
        client: Any = redis.Redis.from_url(settings.redis_url, **options)
    elif settings.redis_sentinels:
        hosts = [(host, int(port)) for host, port in settings.redis_sentinels]
        asking = {k: v for k, v in options.items() if k not in ("db", "username", "password")}
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
            hosts, sentinel_kwargs=asking, **options
        )
        client = sentinel.master_for(settings.redis_sentinel_master)
    else:
        client = redis.Redis(host=settings.redis_host, port=settings.redis_port, **options)
    # Answers come as Redis sends them: one shape over all versions of redis-py.
    client.response_callbacks.clear()
    return client
