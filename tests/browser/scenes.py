"""What the page is looked at with: a bit of everything, and values that would like to be more than text."""

from __future__ import annotations

from dataclasses import dataclass

from tests.harness.cluster_state import FOREVER, NEVER_STARTS
from tests.harness.sandbox import Sandbox

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\"'><svg onload=alert(3)>",
    "javascript:alert(4)",
    "{{constructor.constructor('alert(5)')()}}",
    "<a href='//evil.example' target=_blank>click</a>",
    "<b>bold</b> &lt;b&gt; \u202egnp.exe",
)


@dataclass(frozen=True)
class Scene:
    """The ids of its events."""

    mixed: str
    waiting: str
    korean: str
    failed: str
    dead: str


def everyday(place: Sandbox) -> Scene:
    """Events in flight with cells of most states, failures, dead letters, a long and a Korean task id."""
    failing = {"SIM_EXIT_CODE": "3", "SIM_REASON": "Error"}
    for number in range(3):
        failed = place.scale_up(1, task_id=f"nightly-lint-{number}", run_seconds=0.1, env=failing)
        place.wait_event(failed)
    long = (
        "refs/heads/feature/payments-retry-with-backoff-and-a-very-long-branch-name/build-and-test-amd64-17"
    )
    place.wait_event(place.scale_up(2, task_id=long, run_seconds=0.1))
    mixed = place.scale_up(12, task_id="build-17", run_seconds=FOREVER)
    place.wait_workers(mixed, "Running", 12, 60)
    for pod in place.kube.workers(mixed)[:2]:
        place.kube.delete_pod(pod["metadata"]["name"], grace=0)  # tried again
    place.send("scale_down", task_id="build-17", pod_count="3")
    waiting = place.scale_up(4, task_id="image-pull", env=NEVER_STARTS)
    korean = place.scale_up(6, task_id="야간-빌드-통합-테스트-결제-모듈-재시도-17", run_seconds=FOREVER)
    place.wait_workers(korean, "Running", 6, 60)
    dead = place.send("scale_up", pod_count="many", task_id="misspelt")
    place.send("scale_up", podcount="3", task_id=long)
    place.wait_dead(dead, 60)
    return Scene(mixed, waiting, korean, failed, dead)


def hostile(place: Sandbox) -> list[str]:
    """Events whose every value wants to be HTML: in flight, failed and dead-lettered."""
    made = []
    for number, text in enumerate(HOSTILE):
        env = {
            "SIM_EXIT_CODE": "1",
            "SIM_REASON": text[:60],
            "SIM_LOG": text * 3,
            "SECRET": f"s3cret-{number}",
        }
        made.append(place.scale_up(1, task_id=text, run_seconds=0.1, env=env, note=text, **{"meta:x": text}))
        made.append(place.scale_up(2, task_id=f"{text} in flight", run_seconds=FOREVER))
        made.append(
            place.send("scale_up", pod_count=text, task_id=text, image=text, command=f"s3cret {text}")
        )
    return made
