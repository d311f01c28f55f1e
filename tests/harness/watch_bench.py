"""The watch without its thread: a test calls one step and looks at what the watcher shows."""

from __future__ import annotations

import json
import threading

import pytest

from ottoscaler.kube.reflector import Reflector
from ottoscaler.kube.selection import WantedOwners
from ottoscaler.kube.watcher import PodWatcher
from ottoscaler.model import PodView
from ottoscaler.pods.labels import OWNER, PREFIX
from ottoscaler.threads import Control
from tests.harness.fake_pods import FakePods

INSTANCE = "one"


class WatchBench:
    """A replica's watch over a fake API server. Each ``step`` lets it see what has happened."""

    def __init__(self) -> None:
        self.pods = FakePods()
        self.unclaimed: list[PodView] = []
        self.arrived: list[PodView] = []
        self.restarts = 0
        self.own = ["me"]
        self.stop = threading.Event()
        self.watcher = PodWatcher(
            self.pods,
            WantedOwners(INSTANCE, lambda: self.own),
            unclaimed=self.unclaimed.append,
            arrived=self.arrived.append,
        )
        self.reflector = Reflector(
            self.pods,
            self.watcher,
            poll_seconds=1,
            restarted=self.restart,
            control=Control(self.stop, lambda: None),
        )

    def restart(self) -> None:
        self.restarts += 1

    def create(self, name: str, owner: str | None = "me") -> str:
        labels = {"managed-by": "ottoscaler", PREFIX + "instance": INSTANCE}
        if owner is not None:
            labels[OWNER] = owner
        body = {"metadata": {"name": name, "labels": labels}, "spec": {}}
        return str(self.pods.create(json.dumps(body).encode())["metadata"]["uid"])

    def step(self) -> None:
        self.reflector.step(0.0)

    def fail(self, error: Exception) -> None:
        """A step that ends with an error, and what the loop does then."""
        with pytest.raises(type(error)):
            self.step()
        self.reflector.failed(error)

    def owners(self) -> set[str] | None:
        """Whose Pods it shows; ``None``: all Pods of the instance."""
        return None if self.watcher.owners is None else set(self.watcher.owners)

    def names(self) -> list[str]:
        """The Pods that it shows."""
        return sorted(view.name for view in self.watcher.views())
