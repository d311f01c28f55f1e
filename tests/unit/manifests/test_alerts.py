"""The alerts against the code that makes their metrics, the runbook they point at, and promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ottoscaler.model import Reason
from ottoscaler.telemetry.metric_specs import CODES, OTHER, POLLS, VERBS
from ottoscaler.telemetry.metrics import Metrics
from tests.tools.metrics_page import anchor
from tests.unit.manifests.kustomize import ROOT, find, render

MONITORING = ROOT / "manifests" / "monitoring"
RULES = yaml.safe_load((ROOT / "manifests/monitoring/prometheusrule.yaml").read_text())["spec"]
MONITOR = yaml.safe_load((ROOT / "manifests/monitoring/podmonitor.yaml").read_text())["spec"]
CASES = ROOT / "tests/unit/manifests/alert_cases.yaml"
VARIABLES = (MONITORING / "variables.env").read_text()
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]

OTHERS = {"kube_pod_status_ready"}  # kube-state-metrics
GRACE_OF_PROMTOOL_SECONDS = 60


def test_every_metric_that_an_alert_names_exists() -> None:
    exposed = Metrics().exposition()[0].decode()
    known = set(re.findall(r"^(ottoscaler_\w+)", exposed, re.MULTILINE))
    # A histogram with labels has no sample before its first observation, but its type is told.
    known |= {f"{name}_count" for name in re.findall(r"^# TYPE (\w+) histogram", exposed, re.MULTILINE)}
    named = {name for alert in ALERTS for name in re.findall(r"\b(?:ottoscaler|kube)_\w+", alert["expr"])}
    assert named - known == OTHERS


def test_every_label_value_that_an_alert_selects_can_come() -> None:
    words = {
        "reason": set(map(str, Reason)),
        "result": set(POLLS),
        "code": {*CODES, OTHER},
        "verb": set(VERBS),
    }
    selected: list[tuple[str, str]] = []
    for alert in ALERTS:
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', alert["expr"]):
            selected += [(label, each) for each in value.split("|") if label in words]
    assert selected
    impossible = [
        (label, each)
        for label, each in selected
        if not any(re.fullmatch(each, word) for word in words[label])
    ]
    assert impossible == []


def test_every_alert_has_a_section_in_the_runbook() -> None:
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    anchors = {anchor(heading) for heading in headings}
    for alert in ALERTS:
        page, _, section = alert["annotations"]["runbook_url"].partition("#")
        assert page == "docs/operations.md"
        assert section in anchors, alert["alert"]
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in ("critical", "warning")


def test_one_variable_makes_every_runbook_a_whole_address() -> None:
    (whole,) = re.findall(r"^RUNBOOKS=(https://\S+)$", VARIABLES, re.MULTILINE)
    made = find(render(MONITORING), "PrometheusRule")["spec"]["groups"]
    urls = [rule["annotations"]["runbook_url"] for group in made for rule in group["rules"]]
    sections = [alert["annotations"]["runbook_url"].partition("#")[2] for alert in ALERTS]
    assert urls == [f"{whole}#{section}" for section in sections]


def test_rules_and_monitor_bear_the_label_that_kube_prometheus_stack_selects_by() -> None:
    (release,) = re.findall(r"^RELEASE=(\S+)$", VARIABLES, re.MULTILINE)
    made = render(MONITORING)
    labels = [find(made, kind)["metadata"]["labels"] for kind in ("PrometheusRule", "PodMonitor")]
    assert [each["release"] for each in labels] == [release, release]


def test_every_alert_is_seen_to_fire_in_the_cases() -> None:
    fired: set[str] = set()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        fired |= {check["alertname"] for check in case["alert_rule_test"] if check["exp_alerts"]}
    assert fired == {alert["alert"] for alert in ALERTS}


def test_the_pod_monitor_selects_the_port_and_label_of_the_service() -> None:
    deployment = yaml.safe_load((ROOT / "manifests/base/service/deployment.yaml").read_text())
    template = deployment["spec"]["template"]
    assert MONITOR["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
    assert {endpoint["port"] for endpoint in MONITOR["podMetricsEndpoints"]} <= ports


# Debian's package prometheus brings promtool; where it is not installed there is nothing to collect.
if shutil.which("promtool"):

    def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
        cases = yaml.safe_load(CASES.read_text())
        summaries = {alert["alert"]: alert["annotations"] for alert in ALERTS}
        for case in cases["tests"]:
            case.pop("name")  # promtool 2.42 does not know it
            for check in case["alert_rule_test"]:
                for expected in check["exp_alerts"]:
                    expected["exp_annotations"] = rendered(summaries[check["alertname"]], expected)
        (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
        ran = subprocess.run(
            ["promtool", "test", "rules", "cases.yaml"],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=GRACE_OF_PROMTOOL_SECONDS,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def rendered(annotations: dict[str, str], expected: dict[str, Any]) -> dict[str, str]:
        """The annotations as Prometheus fills them in; a case tells its value beside the labels."""
        values = {f"$labels.{name}": value for name, value in expected["exp_labels"].items()}
        values["$value"] = str(expected.pop("value", ""))
        summary = re.sub(
            r"\{\{ (?:printf \S+ )?([^ |}]+)[^}]*\}\}", lambda found: values[found[1]], annotations["summary"]
        )
        return {**annotations, "summary": summary}
