"""Makers of what the pure core works on, for its tests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ottoscaler.errors import BadEvent
from ottoscaler.ledger.records import Record
from ottoscaler.model import JsonObject, ScaleUp
from ottoscaler.pods.live_templates import LiveTemplates
from ottoscaler.pods.plan import PodDefaults, PodPlan, plan
from ottoscaler.pods.templates import TemplateDirectory, Templates, load_templates
from ottoscaler.workers.run import EventRun

DEFAULTS = PodDefaults(
    instance="ci",
    installation="0a1b2c3d",
    namespace="workers",
    agent_image="busybox:latest",
    pending_timeout_seconds=900,
    default_timeout_seconds=3600,
    default_max_retries=2,
    owner="4d5e6f7a",
)
BUILTIN = load_templates(None, agent_image="busybox:latest")
LIVE = LiveTemplates(TemplateDirectory("", "busybox:latest"), BUILTIN)


def scale_up(**fields: Any) -> ScaleUp:
    return ScaleUp(**{"event_id": "1717-0", "task_id": "build-17", "pod_count": 3, **fields})


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


def planned(event: ScaleUp, templates: Templates = BUILTIN) -> PodPlan:
    return plan(event, templates.get(event.profile), DEFAULTS, clock=noon)


def held_plan(run: EventRun) -> PodPlan:
    """The plan that a run holds, as a planner. A run that holds none cannot be planned."""
    if run.plan is None:
        raise BadEvent("its Pod can no longer be built")
    return run.plan


def unplanned_run(event: ScaleUp, record: Record) -> EventRun:
    """A run for tests that create no Pod."""
    return EventRun(event, None, record, held_plan)


def worker_of(pod: JsonObject) -> JsonObject:
    (found,) = (c for c in pod["spec"]["containers"] if c["name"] == "worker")
    return dict(found)


def env_of(pod: JsonObject) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in worker_of(pod)["env"]}


def template(
    worker: JsonObject | None = None, *, accepts: str | None = None, env: str | None = None, **spec: Any
) -> JsonObject:
    said = {"ottoscaler.io/accepts": accepts, "ottoscaler.io/env": env}
    annotations = {name: value for name, value in said.items() if value is not None}
    containers = [{"name": "worker", "image": "team/app:1", **(worker or {})}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"annotations": annotations},
        "spec": {"containers": containers, **spec},
    }


def write(directory: Path, **templates: JsonObject | str) -> Path:
    for profile, content in templates.items():
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (directory / f"{profile}.yaml").write_text(text, encoding="utf-8")
    return directory


def loaded(directory: Path, **templates: JsonObject | str) -> Templates:
    return load_templates(str(write(directory, **templates)), agent_image="busybox:latest")
