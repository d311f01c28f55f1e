"""The names under which this replica writes, and the identity of its process.

A later process uses the identity to tell whether this one has ended."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from ottoscaler.ledger.redis_client import RedisClient

MOST_INCARNATIONS = 4  # remembered: if the process froze during a create, that create may still arrive


class ReplicaIdentity:
    """The names under which this replica writes. The lease's thread sets them, and every thread reads them.

    A new incarnation is another owner: it cannot write to events that an earlier one owned.
    ``held_installations`` are all ids of this installation that this process has seen, before and after Redis
    was emptied. ``incarnations`` are the latest incarnations of this process, the present one last. Each Pod
    has the incarnation that created it as a label. ``process`` tells a later process whether this one has
    ended.
    """

    def __init__(self, consumer: str, incarnation: str = "", *, pod_uid: str = "") -> None:
        self.consumer = consumer
        self.process = identity(pod_uid)
        self.incarnations: tuple[str, ...] = ()
        self.installation = ""
        self.held_installations: frozenset[str] = frozenset()
        self.become(incarnation)

    def become(self, incarnation: str = "") -> None:
        """Become another owner, with this incarnation or a random one."""
        self.incarnation = incarnation or secrets.token_hex(8)
        self.incarnations = (*self.incarnations, self.incarnation)[-MOST_INCARNATIONS:]
        self.owner = f"{self.consumer}/{self.incarnation}"  # the name under which it owns events

    def join(self, installation: str) -> None:
        """Belong to this installation from now on."""
        self.installation = installation
        self.held_installations |= {installation}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """When a process started, by the kernel's count. It differs if the process id was reused."""
    stat = _read(f"/proc/{pid}/stat")
    return stat.rsplit(")", 1)[1].split()[19] if ")" in stat else ""


def _machine() -> str:
    """This boot of the kernel and this process-id namespace. Only within both is a process id comparable."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    boot = _read("/proc/sys/kernel/random/boot_id")
    return f"{boot}/{namespace}" if boot else ""


def identity(pod_uid: str) -> dict[str, Any]:
    """What another process needs to prove later that this one has ended."""
    pid = os.getpid()
    return {"pod_uid": pod_uid, "machine": _machine(), "pid": pid, "started": _process_start(pid)}


def has_ended(info: str, me: dict[str, Any]) -> bool:
    """Whether the process that left this information has provably ended."""
    try:
        other = json.loads(info)
    except ValueError:
        return False
    if not isinstance(other, dict):
        return False
    if other.get("machine") and other.get("machine") == me["machine"]:
        pid = other.get("pid")
        return not isinstance(pid, int) or _process_start(pid) != other.get("started")
    # One container of a Pod at a time: a younger one with the same Pod UID follows its end.
    return bool(me["pod_uid"]) and other.get("pod_uid") == me["pod_uid"]


def kept_installation(redis: RedisClient) -> str:
    """The installation's id that Redis keeps, '' if no replica has ever registered, or if
    another program has overwritten it. Raises RedisError."""
    raw = redis.command_or(None, "GET", f"{redis.prefix}installation")
    return raw.decode("utf-8", "replace") if raw else ""
