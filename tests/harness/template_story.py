"""What operators do to templates while the service runs, whichever way the files come to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.harness.cluster_state import FOREVER
from tests.harness.observer import Json
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for

TAKEN_UP_SECONDS = 30.0  # 5 by the contract, on a machine that is busy with other things
POD = """\
apiVersion: v1
kind: Pod
metadata:
  annotations: {{ottoscaler.io/env: "SIM_*", example.org/from: {version}}}
spec:
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: worker
      image: busybox:latest
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"""
BROKEN = POD.format(version="broken").replace("spec:\n", "spec:\n  restartPolicy: Always\n", 1)


def texts(**versions: str) -> dict[str, str]:
    """A ConfigMap's data, by profile: its template's version, or ``broken``."""
    return {
        f"{profile}.yaml": BROKEN if version == "broken" else POD.format(version=version)
        for profile, version in versions.items()
    }


def from_of(pod: Json) -> str:
    """The version of the template that a Pod was made from."""
    return str(pod["metadata"]["annotations"]["example.org/from"])


class Roll:
    """One replica whose templates ``update`` changes."""

    def __init__(self, place: Sandbox, replica: Replica, update: Callable[[Mapping[str, str]], None]) -> None:
        self._place = place
        self._replica = replica
        self._update = update

    def play(self) -> None:
        """Add, change, break, mend and remove a profile, and look what becomes of events each time."""
        self._update(texts(default="one", builds="one", late="one"))
        self._taken_up("new or changed: builds, late")
        assert self._made_from("late") == self._made_from("builds") == "one"
        held = self._start_one("builds")
        self._update(texts(default="one", builds="two", late="one"))
        self._taken_up("new or changed: builds")
        assert self._made_from("builds") == "two"
        self._update(texts(default="one", builds="broken", late="one"))
        wait_for(lambda: self._problems() == 1, "the problem is counted", TAKEN_UP_SECONDS)
        assert self._made_from("builds") == "two", "the last good version stays in use"
        (told,) = wait_for(lambda: self._replica.lines(action="template_invalid"), "the log tells it")
        assert (told["level"], told["message"].partition(":")[0]) == ("WARNING", "builds.yaml")
        self._update(texts(default="one", late="one"))
        self._taken_up("removed: builds")
        wait_for(lambda: self._problems() == 0, "no problem is left")
        letter = self._place.wait_dead(self._place.scale_up(1, profile="builds"), TAKEN_UP_SECONDS)
        assert letter["error"] == "profile: unknown profile 'builds'; expected one of default, late"
        self._try_again(held)

    def _taken_up(self, what: str) -> None:
        def told() -> bool:
            lines = self._replica.lines(action="templates_changed")
            return any(f"{what};" in line["message"] + ";" for line in lines)

        wait_for(told, f"the log tells {what}", TAKEN_UP_SECONDS)

    def _problems(self) -> float:
        return self._replica.metric("ottoscaler_template_problems")

    def _start_one(self, profile: str) -> str:
        event_id = self._place.scale_up(1, run_seconds=FOREVER, profile=profile)
        self._place.wait_workers(event_id, "Running", 1, TAKEN_UP_SECONDS)
        return event_id

    def _made_from(self, profile: str) -> str:
        event_id = self._start_one(profile)
        (pod,) = self._place.kube.workers(event_id)
        self._place.send("scale_down", task_id=event_id)
        assert self._place.wait_event(event_id)["status"] == "cancelled"
        return from_of(pod)

    def _try_again(self, event_id: str) -> None:
        """What runs of a removed profile's event runs on; its next attempt has the last template."""
        (pod,) = self._place.kube.workers(event_id)
        assert from_of(pod) == "one"
        self._place.kube.delete_pod(pod["metadata"]["name"], 0)

        def next_attempt() -> list[Json]:
            running = self._place.wait_workers(event_id, "Running", 1, TAKEN_UP_SECONDS)
            return [each for each in running if each["metadata"]["name"].endswith("-1")]

        (pod,) = wait_for(next_attempt, "the next attempt runs", TAKEN_UP_SECONDS)
        assert from_of(pod) == "two"
        self._place.send("scale_down", task_id=event_id)
        assert self._place.wait_event(event_id)["status"] == "cancelled"
