"""Loopback ports that no other program takes by chance.

A port that the system picks (``bind`` to 0) comes from the range for outgoing connections. Any client may
take it after we found it free and before we bind it, or while a server restarts on the same port.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections import deque
from pathlib import Path

from ottoscaler.errors import OttoscalerError

LOWEST = 12_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_DEFAULT = 32_768  # Linux's default, used if the file cannot be read
STRIDE = 1_009  # processes with neighbouring ids begin so many ports apart; it is prime, so that few meet

# A server needs seconds from when it is given its port until it listens there. Until so many more ports were
# handed out, no other process of this machine hands out the same one. Each costs an open file.
MOST_CLAIMS = 64

_lock = threading.Lock()
_taken = itertools.count()
_claims: deque[socket.socket] = deque()


class NoFreePort(OttoscalerError):
    """Every port that may be handed out is in use."""


def free_port() -> int:
    """A port below the range for outgoing connections on which nobody listens now. Each call returns another.

    Any thread. Raises NoFreePort once all ports have been tried.
    """
    span = _first_ephemeral() - LOWEST
    for _ in range(span):
        with _lock:
            number = next(_taken)
        port = LOWEST + (os.getpid() * STRIDE + number) % span
        if _is_free(port) and _claim(port):
            return port
    raise NoFreePort(f"no free port from {LOWEST} to {LOWEST + span - 1}")


def _first_ephemeral() -> int:
    try:
        first = int(EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_DEFAULT
    # On some hosts, outgoing connections may take nearly every port. No choice is safe there, so any will do.
    return first if first > LOWEST + STRIDE else EPHEMERAL_DEFAULT


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Claim the port among all processes that ask here. False if another one has claimed it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0ottoscaler-port-{port}")  # the kernel lets go of it with the process
    except OSError:
        claim.close()
        return False
    with _lock:
        _claims.append(claim)
        if len(_claims) > MOST_CLAIMS:
            _claims.popleft().close()
    return True
