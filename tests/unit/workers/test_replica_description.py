"""What a heartbeat tells of the workers' Pods while somebody looks."""

from __future__ import annotations

import itertools
import json

import pytest

from ottoscaler.model import PodView
from ottoscaler.pods.view import parse_pod
from ottoscaler.status.cells import PodsSeen, merged
from ottoscaler.telemetry.metrics import Metrics
from ottoscaler.telemetry.recent import Recent
from ottoscaler.workers.replica_description import MOST_DETAILED, SHARE, ReplicaDescription, told


def pod(index: int, *, runs: bool, event_id: str = "7-0") -> PodView:
    started = {"startedAt": "2026-01-01T00:00:02Z"}
    statuses = [{"name": "worker", "state": {"running": started}}] if runs else []
    return parse_pod(
        {
            "metadata": {
                "name": f"otto-agent-x-{event_id}-{index}-0",
                "uid": f"u{index}",
                "creationTimestamp": "2026-01-01T00:00:01Z",
                "labels": {
                    "ottoscaler.io/event-id": event_id,
                    "ottoscaler.io/index": str(index),
                    "ottoscaler.io/attempt": "0",
                },
            },
            "spec": {"nodeName": "n1"},
            "status": {"phase": "Running" if runs else "Pending", "containerStatuses": statuses},
        }
    )


def test_the_reader_gets_each_workers_letter_back() -> None:
    views = [pod(index, runs=index not in (2, 5)) for index in (6, 5, 3, 2, 1, 0)]
    sights, details = (json.loads(text) for text in told(views))
    assert sights == {"running": 4, "cells": {"7-0": "0-1r 2s 3r 5s 6r"}}
    assert merged("pppppppp", PodsSeen([sights]).of("7-0")) == "rrsrpsrp"
    assert [0, "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "n1"] in details["7-0"]


def test_the_details_are_bounded_and_the_letters_are_in_ranges() -> None:
    sights, details = told([pod(index, runs=True) for index in range(MOST_DETAILED + 50)])
    assert len(json.loads(details)["7-0"]) == MOST_DETAILED
    assert json.loads(sights)["cells"] == {"7-0": f"0-{MOST_DETAILED + 49}r"}


def test_nothing_is_looked_at_while_nobody_looks() -> None:
    looks = []

    def views() -> list[PodView]:
        looks.append(1)
        return [pod(0, runs=True)]

    description = ReplicaDescription(dict, Recent(Metrics()), views)
    assert description.page(1000.0, viewed=False) == ("", "", "")
    assert not looks
    assert '"0r"' in description.page(1001.0, viewed=True)[1]
    assert description.page(1100.0, viewed=False)[1:] == ("-", "-")
    assert description.page(1101.0, viewed=False)[1:] == ("", "")
    assert len(looks) == 1


def test_costly_texts_are_made_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = 2 * SHARE  # seconds of CPU: a share's worth of two seconds
    clock = itertools.count(0.0, cost)
    monkeypatch.setattr("ottoscaler.workers.replica_description.time.thread_time", lambda: next(clock))
    description = ReplicaDescription(dict, Recent(Metrics()), lambda: [pod(0, runs=True)])
    told_at = [now for now in (0.0, 1.0, 1.9, 2.1, 3.0) if description.page(now, viewed=True)[1]]
    assert told_at == [0.0, 2.1]
