"""Bounds how long a thread waits for a host's address.

redis-py and urllib3 look a name up before they connect, and their timeouts do not include that. While a
cluster's DNS is away, the system's resolver takes 10 s for each search domain. So the lease and other threads
that /healthz observes stood still for half a minute, and the process was restarted for an outage.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

LOOKUP_SECONDS = 2.0  # as long as a connection to Redis may take
MOST_THREADS = 32  # that look the same name up at one time
_ADDRESS = re.compile(r"[0-9.]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")  # no name, so nobody is asked

Lookup = Callable[..., Any]


@dataclass(eq=False)
class _GoingOn:
    """A lookup under way. Each thread that makes it waits for the system's resolver."""

    result: Future[Any] = field(default_factory=Future)
    threads: int = 0
    begun: float = 0.0  # monotonic, by the newest thread


def bound_lookups() -> None:
    """Bound each ``socket.getaddrinfo`` of this process from now on. Main thread, before any connection."""
    socket.getaddrinfo = bounded(socket.getaddrinfo)


def bounded(look_up: Lookup) -> Lookup:
    """The same function, which raises ``socket.gaierror`` after LOOKUP_SECONDS. Any thread calls it.

    A lookup that takes longer goes on, on a thread of its own, and its answer is taken when it comes. Who
    asks again meanwhile begins another one beside it, since DNS may be back while the first still waits.
    """
    lock = threading.Lock()
    going_on: dict[tuple[Any, ...], _GoingOn] = {}

    def run(key: tuple[Any, ...], going: _GoingOn) -> None:
        answer: Any = None
        failure: Exception | None = None
        try:
            answer = look_up(*key)
        except Exception as error:  # noqa: BLE001  it is raised in the threads that asked
            failure = error
        with lock:
            if going_on.get(key) is not going:  # another thread's answer came first
                return
            del going_on[key]
        if failure is not None:
            going.result.set_exception(failure)
        else:
            going.result.set_result(answer)

    def begin(key: tuple[Any, ...]) -> Future[Any]:
        with lock:
            going, now = going_on.setdefault(key, _GoingOn()), time.monotonic()
            if not going.threads or (now - going.begun >= LOOKUP_SECONDS and going.threads < MOST_THREADS):
                try:
                    threading.Thread(target=run, args=(key, going), name="lookup", daemon=True).start()
                    going.threads, going.begun = going.threads + 1, now
                except RuntimeError as error:  # callers know what a failed lookup is, and try again
                    if not going.threads:
                        raise socket.gaierror(socket.EAI_MEMORY, str(error)) from error
            return going.result

    def look_up_within(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        key = (host, port, family, type, proto, flags)
        if not isinstance(host, str) or _ADDRESS.fullmatch(host):
            return look_up(*key)
        try:
            return begin(key).result(LOOKUP_SECONDS)
        except TimeoutError:
            raise socket.gaierror(
                socket.EAI_AGAIN, f"the name {host} was not resolved within {LOOKUP_SECONDS:g} s"
            ) from None

    return look_up_within
