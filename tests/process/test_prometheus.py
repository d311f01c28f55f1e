"""A real Prometheus scrapes a running service with the alerts loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ottoscaler.local.ports import free_port
from tests.harness.sandbox import Replica, Sandbox
from tests.harness.waiting import wait_for

ROOT = Path(__file__).parents[2]
PROMETHEUS = shutil.which("prometheus")


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """The data of an answer; empty where it does not answer yet."""
        try:
            with urllib.request.urlopen(
                f"{self._base}/{path}?{urllib.parse.urlencode(query)}", timeout=5
            ) as answer:
                data: dict[str, Any] = json.loads(answer.read())["data"]
                return data
        except OSError:
            return {}

    def value(self, expression: str) -> float | None:
        """An expression's only value, ``None`` where it has none."""
        found = self.get("query", query=expression).get("result", [])
        return float(found[0]["value"][1]) if found else None


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
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield Prometheus(port)
        finally:
            process.kill()
            process.wait(10)


# Debian's package of that name brings it; where it is not installed there is nothing to collect.
if PROMETHEUS:

    def test_prometheus_reads_every_metric_and_every_rule(place: Sandbox, tmp_path: Path) -> None:
        replica = place.start()
        with prometheus(replica, tmp_path) as scraping:
            wait_for(lambda: scraping.value("up") == 1.0, "the service is scraped", 30)
            event_id = place.scale_up(2)
            place.wait_event(event_id)
            place.wait_dead(place.send("nonsense"))
            ended = 'ottoscaler_workers_total{status="succeeded",reason="Completed"}'
            wait_for(lambda: scraping.value(ended) == 2.0, "both workers are counted", 10)
            wait_for(
                lambda: (
                    (scraping.value("histogram_quantile(0.5, ottoscaler_event_latency_seconds_bucket)") or 0)
                    > 0
                ),
                "the latency histogram can be computed with",
                10,
            )
            assert scraping.value("count(up == 0)") is None
            groups = wait_for(lambda: scraping.get("rules").get("groups", []), "the rules are loaded", 10)
            wait_for(
                lambda: all(r["health"] == "ok" for r in scraping.get("rules")["groups"][0]["rules"]),
                "every rule can be evaluated",
                20,
            )
            assert len(groups[0]["rules"]) >= 10
            firing = [a for a in scraping.get("alerts")["alerts"] if a["state"] == "firing"]
            assert firing == []
