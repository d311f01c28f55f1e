"""``python -m tests.tools.bench``: measure the service beside the ceiling and the naive peer."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.tools.bench import bare_go, measure, scaling
from tests.tools.bench.bars import SUBJECTS, bars
from tests.tools.bench.plan import QUICK, Plan
from tests.tools.bench.plot import draw
from tests.tools.bench.report import Report
from tests.tools.bench.stage import ROOT, Stage
from tests.tools.bench.verdicts import render

RESULTS = ROOT / "bench-results"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.tools.bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="fewer samples, no naive peer: one to two minutes")
    made.add_argument(
        "--only", choices=sorted(measure.ALL), action="append", help="this measurement; repeatable"
    )
    made.add_argument("--peers", action="store_true", help="with --quick: the naive peer too")
    made.add_argument("--bars", action="store_true", help="every bar as a ratio of three interleaved rounds")
    made.add_argument(
        "--scaling",
        action="store_true",
        help="100 to 5,000 Pods through one replica and ten, and bars for ten",
    )
    made.add_argument("--pods", type=int, action="append", help="with --scaling: so many Pods; repeatable")
    made.add_argument(
        "--kubeconfig",
        default=os.environ.get("OTTOSCALER_TEST_KUBECONFIG") or os.environ.get("KUBECONFIG") or "",
        help="the cluster to measure on (default: OTTOSCALER_TEST_KUBECONFIG, KUBECONFIG, a local one)",
    )
    made.add_argument(
        "--bare",
        choices=("go", "python"),
        default="go" if bare_go.at_hand() else "python",
        help="which program is the limit (default: Go's where `go` is at hand)",
    )
    made.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON file and the plot")
    return made


def main() -> int:
    options = parser().parse_args()
    plan = QUICK if options.quick else Plan()
    if options.peers:
        plan = replace(plan, peers=True)
    # as Ctrl-C does: what was started is stopped
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    begun = time.time()
    with Stage(options.kubeconfig, go=options.bare == "go") as stage:
        report = Report(_about(stage, options))
        try:
            _measure(stage, report, options, plan)
        except (TimeoutError, RuntimeError, OSError) as error:
            report.about["broke_off"] = str(error).splitlines()[0]
            _say(f"broken off, what was measured is told all the same: {error}")
    report.about["took_s"] = round(time.time() - begun)
    sys.stdout.write(report.text() + "\n")
    if report.ratios:
        sys.stdout.write("\n" + render(report.ratios) + "\n")
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime(begun)) + (
        "-scaling" if options.scaling else "-bars" if options.bars else ""
    )
    report.write(options.out / f"{name}.json")
    drawn = draw(report, options.out / f"{name}.png")
    picture = f" and {name}.png" if drawn else "; for a plot: pip install 'ottoscaler[bench]'"
    _say(f"written: {options.out / name}.json{picture}")
    return 1 if "broke_off" in report.about else 0


def _measure(stage: Stage, report: Report, options: argparse.Namespace, plan: Plan) -> None:
    """Fill the report, a figure after the other."""
    if options.scaling:
        pods = options.pods or (scaling.QUICK_PODS if options.quick else scaling.PODS)
        for point in scaling.points(stage, pods, quick=options.quick):
            report.series.append(point)
            report.ratios = scaling.compared(report.series)
            _say(f"{point['pods']} Pods through {point['replicas']}: {point['workers_per_s']:.0f}/s")
        return
    if options.bars:
        report.ratios += bars(stage, options.only or SUBJECTS, quick=options.quick, say=_say)
        return
    for name in options.only or measure.ALL:
        _say(f"measuring {name}")
        report.figures += measure.ALL[name](stage, plan)


def _about(stage: Stage, options: argparse.Namespace) -> dict[str, object]:
    return {
        "kubernetes": f"{stage.version}, {stage.kind}",
        "bare": options.bare,
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "load_before": round(os.getloadavg()[0], 2),
        "quick": options.quick,
    }


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
