"""A rolling update in mid-flight, as the Deployment does it: the new version is ready first, then the old one
gets its SIGTERM; and the other way about, as after a rollback."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3

from ottoscaler import __version__
from ottoscaler.kube.credentials import Access
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for
from tests.real.manifests import Installed, Json
from tests.unit.manifests.kustomize import ROOT, find

# Its waits together may take longer than a test's usual bound.
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

NEXT_VERSION = "99.0.0"
Worker = tuple[str, str, str]  # event, index, attempt


class PodHistory:
    """Every worker Pod that the API server ever showed, by one watch from the first moment on."""

    def __init__(self, place: Sandbox) -> None:
        self._access = Access(place.kube.kubeconfig, 1)
        self._path = f"/api/v1/namespaces/{place.kube.namespace}/pods?watch=1&timeoutSeconds=120"
        self.uids: dict[Worker, set[str]] = defaultdict(set)
        self._response: Any = None
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pod-history", daemon=True)

    def start(self) -> PodHistory:
        self._thread.start()
        assert self._opened.wait(10), "the watch opens"
        return self

    def stop(self) -> None:
        self._response.shutdown()
        self._thread.join(10)

    def _watch(self) -> None:
        self._response = self._access.pool().request(
            "GET", self._access.url(self._path), headers=self._access.headers(), preload_content=False
        )
        self._opened.set()
        rest = b""
        with suppress(urllib3.exceptions.ProtocolError):  # that is how it looks when stop() cuts it
            for chunk in self._response.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._note(json.loads(line)["object"])

    def _note(self, pod: Json) -> None:
        labels = pod["metadata"].get("labels", {})
        if labels.get("app") == "otto-agent":
            marks = [labels[f"ottoscaler.io/{name}"] for name in ("event-id", "index", "attempt")]
            self.uids[marks[0], marks[1], marks[2]].add(pod["metadata"]["uid"])


@contextmanager
def history(place: Sandbox) -> Iterator[PodHistory]:
    seen = PodHistory(place).start()
    try:
        yield seen
    finally:
        seen.stop()


def next_version(directory: Path) -> dict[str, str]:
    """The environment in which ``python -m ottoscaler`` is a later version than the one under test."""
    package = directory / "next" / "ottoscaler"
    shutil.copytree(ROOT / "ottoscaler", package, ignore=shutil.ignore_patterns("__pycache__", "local"))
    init = package / "__init__.py"
    init.write_text(f'__version__ = "{NEXT_VERSION}"\n')
    # PYTHONSAFEPATH: else the working directory, which holds the version under test, comes first.
    return {"PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1"}


def spoken_version(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "ottoscaler", "--version"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return text.stdout.split()[-1]


def grace_period(installed: Installed) -> float:
    spec = find(installed.objects, "Deployment")["spec"]["template"]["spec"]
    return float(spec["terminationGracePeriodSeconds"])


@pytest.mark.parametrize("back", [False, True], ids=["update", "rollback"])
def test_rolling_update_in_mid_flight_loses_no_worker_and_runs_none_twice(back: bool, place: Sandbox) -> None:
    installed = Installed(place, "production")
    installed.install("ServiceAccount", "Role", "RoleBinding", "LimitRange")
    templates = find(installed.objects, "ConfigMap", "ottoscaler-templates")["data"]
    for name, text in templates.items():  # the class is the cluster's; without it, the account needs no more
        (place.directory / "templates" / name).write_text(re.sub(r".*priorityClassName.*\n", "", text))
    # A grace that the long workers outlast by far; slots for both long events, should one replica get both,
    # and not for everything.
    common = installed.settings() | {"OTTO_SHUTDOWN_GRACE_SECONDS": "2", "OTTO_MAX_WORKERS": "12"}
    later = next_version(place.directory)
    assert spoken_version(place.environment(**common, **later)) == NEXT_VERSION
    assert spoken_version(place.environment(**common)) == __version__
    old, new = (common | later, common) if back else (common, common | later)
    with history(place) as seen:
        leaving = [place.start(f"old-{n}", **old) for n in range(2)]
        long = [place.scale_up(5, run_seconds=20, task_id=f"long-{n}") for n in range(2)]
        queued = [place.scale_up(4, run_seconds=1, task_id=f"queued-{n}") for n in range(4)]
        for event in long:
            place.wait_workers(event, "Running", 5)
        during: list[str] = []
        for number, replica in enumerate(leaving):
            place.start(f"new-{number}", **new)
            during.append(place.scale_up(2, run_seconds=0.2, task_id=f"during-{number}"))
            begun = time.monotonic()
            assert replica.stop(grace_period(installed)) == 0
            # 2 s of grace and the steps of a stop, not the 20 s of the workers
            assert time.monotonic() - begun < 15
        assert all(not place.results("event", event) for event in long), "the update was in mid-flight"
        for event in (*long, *queued, *during):
            assert place.wait_event(event, 60)["status"] == "succeeded"
        place.wait_no_pods()
        wait_for(lambda: place.pending() == 0, "everything is acknowledged")
        expected = dict.fromkeys(long, 5) | dict.fromkeys(queued, 4) | dict.fromkeys(during, 2)
        everything = {(e, str(i)) for e, count in expected.items() for i in range(count)}
        # A stop between an attempt's first note in the ledger and its create leaves a number without a Pod;
        # what counts is that each worker had one Pod in all, and that the result is that Pod's.
        ran = [worker for worker, uids in seen.uids.items() for _ in uids]
        assert sorted((event, index) for event, index, _ in ran) == sorted(everything)
    results = [(r["event_id"], r["index"], r["attempt"]) for r in place.results("worker")]
    assert sorted(results) == sorted(ran)
    assert len(place.results("event")) == len(expected)
