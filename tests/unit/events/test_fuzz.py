"""A fuzzer over events: each outcome is a Pod within policy or a ``BadEvent`` with a sentence."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from ottoscaler.errors import BadEvent
from ottoscaler.events import quantities
from ottoscaler.events.parse import parse_event
from ottoscaler.model import JsonObject, ScaleDown, ScaleUp
from ottoscaler.pods import pod_security as restricted
from ottoscaler.pods.plan import PodPlan, plan
from ottoscaler.pods.templates import Templates
from ottoscaler.pods.view import parse_pod
from tests.harness.parsed_events import LIMITS
from tests.harness.pod_makers import DEFAULTS, loaded, template, worker_of
from tests.unit.pods.test_policy_attacks import bare

LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")

RULES = {
    "type": ["scale_up", "scale_up", "scale_up", "scale_down", "SCALE_UP", ""],
    "pod_count": ["1", "3", "1000", "1001", "0", "-1", "01", "١"],
    "task_id": ["build-17", "", "a b", "-", "é" * 256, "x" * 257, "$(A)", "a\0"],
    "image": [
        "busybox",
        "busybox:latest",
        "docker.io/library/busybox",
        "busybox.evil.io/x",
        "busybox:1@",
        "B",
    ],
    "command": [
        "make",
        '["make", "$(A)"]',
        "[]",
        "[1]",
        "[",
        "",
        "[ -f x ] && $(A)",
        ' ["a"] ',
        '["\\ud800"]',
        "[" * 9000,
    ],
    "args": ["all", '["a", "b"]', "[]", "[null]", '["a\\u0000"]'],
    "env": [
        '{"A": "$(B)"}',
        "{}",
        '{"OTTO_A": "1"}',
        '{"A": 1}',
        '{"A": "1", "A": "2"}',
        "[]",
        '{"LD_PRELOAD": "x"}',
    ],
    "cpu": ["500m", "8", "8001m", "0", "1e1", "1e99", "-1", "x"],
    "memory": ["1Gi", "64Mi", "33Gi", "128m", "1e9", "１Gi"],
    "profile": ["default", "gpu", "tpu", "Default", "../x", ""],
    "timeout_seconds": ["60", "86400", "86401", "0", "1.5"],
    "max_retries": ["0", "10", "11", "-1"],
    "priority": ["0", "-5", "2147483648", "x"],
    "expires_at": ["1767225600", "1767225600.5", "nan", "-1"],
    "running": ["keep", "kill"],
}
RAW = st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode(errors="surrogatepass"))
GOOD = {
    "task_id": st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
    "image": st.sampled_from(RULES["image"][:3]),
    "command": st.sampled_from(RULES["command"][:3]),
    "args": st.sampled_from(RULES["args"][:3]),
    "env": st.dictionaries(
        st.sampled_from(["A", "B", "HOME", "a.b", "otto_x"]), st.text("$()ab\n☃"), max_size=3
    ).map(json.dumps),
    "cpu": st.sampled_from(RULES["cpu"][:2]),
    "memory": st.sampled_from(RULES["memory"][:2]),
    "timeout_seconds": st.integers(1, 86400).map(str),
    "profile": st.sampled_from(RULES["profile"][:2]),
    "note": st.text(alphabet=st.characters(codec="utf-8"), max_size=60),
}


def packed(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in fields.items()]


BEGINNING = [(b"type", b"scale_up"), (b"pod_count", b"3")]
KNOWN = st.sampled_from(sorted(RULES)).flatmap(
    lambda name: st.tuples(st.just(name.encode()), st.sampled_from(RULES[name]).map(str.encode) | RAW)
)
# Half of the events are well formed but for one field at most, or hardly any would become a Pod.
WELL_FORMED = st.builds(
    lambda good, odd: BEGINNING + packed(good) + odd,
    st.fixed_dictionaries({}, optional=GOOD),
    st.just([]) | st.lists(KNOWN | st.tuples(RAW, RAW), max_size=1),
)
EVENTS = WELL_FORMED | st.lists(KNOWN | st.tuples(RAW, RAW), max_size=7)


@cache
def templates() -> Templates:
    with TemporaryDirectory() as directory:
        return loaded(Path(directory), gpu=template({"env": [{"name": "A", "value": "kept"}]}))


@cache
def plain(profile: str) -> JsonObject:
    return bare(plan(ScaleUp("1-0", "t", 1, profile=profile), templates().get(profile), DEFAULTS).pod(0, 0))


@settings(deadline=None, max_examples=500)
@given(EVENTS)
def test_every_event_is_a_pod_within_policy_or_a_bad_event(fields: list[tuple[bytes, bytes]]) -> None:
    outcome = outcome_of(fields)
    note(type(outcome).__name__)
    if isinstance(outcome, BadEvent):
        assert 10 < len(str(outcome)) < 3000
        assert str(outcome).isprintable()
        return
    if isinstance(outcome, ScaleDown):
        assert outcome.task_id or outcome.pod_count
        return
    event = outcome.event
    pod = json.loads(outcome.body(event.pod_count - 1, 10, avoid_node="node-a"))
    check_marks(pod, event)
    check_worker(pod, event)
    preferred = pod["spec"].pop("affinity")
    assert list(preferred["nodeAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert bare(pod) == plain(event.profile)


def outcome_of(fields: list[tuple[bytes, bytes]]) -> PodPlan | ScaleDown | BadEvent:
    try:
        event = parse_event("1717171717171-0", fields, LIMITS)
        return (
            event if isinstance(event, ScaleDown) else plan(event, templates().get(event.profile), DEFAULTS)
        )
    except BadEvent as error:
        return error


def check_marks(pod: JsonObject, event: ScaleUp) -> None:
    assert DNS_LABEL.fullmatch(pod["metadata"]["name"])
    assert pod["metadata"]["namespace"] == DEFAULTS.namespace
    for value in pod["metadata"]["labels"].values():
        assert len(value) <= 63
        assert LABEL_VALUE.fullmatch(value)
    view = parse_pod(pod)
    assert view.worker is not None
    assert (view.worker.event_id, view.worker.index) == (event.event_id, event.pod_count - 1)
    assert view.task_id == event.task_id
    assert json.loads(view.metadata) == event.metadata


def check_worker(pod: JsonObject, event: ScaleUp) -> None:
    worker = worker_of(pod)
    if event.profile == "default":
        assert LIMITS.allowed_images.problem(worker["image"]) is None
        assert restricted.problems(pod) == []
    else:
        assert worker["image"] == "team/app:1"
        assert {"name": "A", "value": "kept"} in worker["env"]
    for part in ("requests", "limits"):
        assert quantities.parse(worker["resources"][part]["cpu"]) <= 8
        assert quantities.parse(worker["resources"][part]["memory"]) <= 32 * 2**30
    names = [variable["name"] for variable in worker["env"]]
    assert len(names) == len(set(names))
    assert all(ENV_NAME.fullmatch(name) for name in names)
    told = {variable["name"]: variable["value"].replace("$$", "$") for variable in worker["env"]}
    assert told["OTTO_TASK_ID"] == event.task_id
    assert json.loads(told["OTTO_METADATA"]) == event.metadata
    assert pod["spec"]["restartPolicy"] == "Never"
    assert 900 < pod["spec"]["activeDeadlineSeconds"] <= 900 + LIMITS.max_timeout_seconds
