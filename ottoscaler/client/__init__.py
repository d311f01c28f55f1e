"""The public Python API (docs/python.md). Importing it needs no package but redis."""

from ottoscaler.client.client import Client
from ottoscaler.client.entries import DeadLetter, EventResult, Result, WorkerResult
from ottoscaler.client.errors import (
    BadRequest,
    ClientError,
    DeadLettered,
    OutcomeUnknown,
    RedisFailed,
    UnknownEvent,
    WaitTimeout,
)
from ottoscaler.ledger.kept_logs import KeptLog

__all__ = [
    "BadRequest",
    "Client",
    "ClientError",
    "DeadLetter",
    "DeadLettered",
    "EventResult",
    "KeptLog",
    "OutcomeUnknown",
    "RedisFailed",
    "Result",
    "UnknownEvent",
    "WaitTimeout",
    "WorkerResult",
]
