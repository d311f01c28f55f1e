"""A real Prometheus scrapes a running service with the alerts loaded, and answers the dashboard's queries."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ottoscaler.local.ports import free_port
from tests.harness.replica import Replica
from tests.harness.sandbox import Sandbox
from tests.harness.waiting import wait_for
from tests.tools.dashboard.render import dashboard

ROOT = Path(__file__).parents[2]
PROMETHEUS = shutil.which("prometheus")
VARIABLES = {"$namespace": ".*", "$pod": ".*", "$__rate_interval": "5m", "$__range": "1h"}


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """The data of an answer; empty where it does not answer yet."""
        try:
            with urllib.request.urlopen(
                f"{self._base}/{path}?{urllib.parse.urlencode(query)}", timeout=20
            ) as answer:
                data: dict[str, Any] = json.loads(answer.read())["data"]
                return data
        except OSError:
            return {}

    def values(self, expression: str) -> list[float]:
        """All values of an expression that are numbers."""
        found = [float(each["value"][1]) for each in self.get("query", query=expression).get("result", [])]
        return [value for value in found if not math.isnan(value)]

    def value(self, expression: str) -> float | None:
        """An expression's first value, ``None`` where it has none."""
        found = self.values(expression)
        return found[0] if found else None


@contextmanager
def prometheus(replica: Replica, directory: Path) -> Iterator[Prometheus]:
    """Scraping the replica every 200 ms, as the PodMonitor would."""
    assert PROMETHEUS is not None
    rules = yaml.safe_load((ROOT / "manifests/monitoring/prometheusrule.yaml").read_text())["spec"]
    (directory / "rules.yaml").write_text(yaml.safe_dump(rules))
    target = {"targets": [f"127.0.0.1:{replica.port}"], "labels": {"namespace": "o", "pod": "a"}}
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "ottoscaler", "static_configs": [target]}],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield Prometheus(port)
        finally:
            process.kill()
            process.wait(30)


# Debian's package of that name brings it; where it is not installed there is nothing to collect.
if PROMETHEUS:

    def test_prometheus_reads_every_metric_rule_and_panel(place: Sandbox, tmp_path: Path) -> None:
        replica = place.start(OTTO_MAX_RETRIES="1")
        with prometheus(replica, tmp_path) as scraping:
            wait_for(lambda: scraping.value("up") == 1.0, "the service is scraped", 30)
            event_id = work(place)
            ended = 'ottoscaler_workers_total{status="succeeded",reason="Completed"}'
            wait_for(lambda: scraping.value(ended) == 3.0, "the workers are counted", 30)
            assert scraping.value("count(up == 0)") is None
            every_rule_can_be_evaluated(scraping)
            every_panel_has_data(scraping)
            wait_for(lambda: event_id in exemplars(scraping), "the latency leads to the event", 30)

    def work(place: Sandbox) -> str:
        """One event of each kind that a panel shows something of; the first one's id."""
        good = place.scale_up(2)
        place.wait_event(good)
        place.wait_event(place.scale_up(1, env={"SIM_EXIT_CODE": "3"}))
        place.wait_dead(place.send("nonsense"))
        lost = place.scale_up(1, run_seconds=600, env={"SIM_TERM_EXIT_CODE": "0"})
        (pod,) = place.wait_workers(lost, "Running", 1)
        place.kube.delete_pod(
            pod["metadata"]["name"], grace=0
        )  # an infrastructure failure, so it is tried again
        wait_for(lambda: place.replicas[0].metric("ottoscaler_retries_total") == 1, "it is tried again", 30)
        place.send("scale_down", task_id=lost)
        place.wait_event(lost)
        place.wait_event(place.scale_up(1))
        return good

    def every_rule_can_be_evaluated(scraping: Prometheus) -> None:
        groups = wait_for(lambda: scraping.get("rules").get("groups", []), "the rules are loaded", 30)
        wait_for(
            lambda: all(r["health"] == "ok" for r in scraping.get("rules")["groups"][0]["rules"]),
            "every rule can be evaluated",
            30,
        )
        assert len(groups[0]["rules"]) >= 10
        firing = [a for a in scraping.get("alerts")["alerts"] if a["state"] == "firing"]
        assert firing == []

    def every_panel_has_data(scraping: Prometheus) -> None:
        panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
        assert len(panels) > 30
        for panel in panels:
            for target in panel["targets"]:
                expression = filled_in(target["expr"])
                wait_for(
                    lambda asked=expression: scraping.values(asked),  # type: ignore[misc]
                    f"panel {panel['title']!r} has data: {expression}",
                    30,
                )

    def exemplars(scraping: Prometheus) -> set[str]:
        """The event ids that the latency histogram's exemplars name."""
        asked = {
            "query": "ottoscaler_event_latency_seconds_bucket",
            "start": "0",
            "end": str(time.time() + 60),
        }
        series: Any = scraping.get("query_exemplars", **asked) or []
        return {each["labels"]["event_id"] for one in series for each in one["exemplars"]}

    def filled_in(expression: str) -> str:
        """A panel's query as Grafana would send it."""
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression
        return expression
