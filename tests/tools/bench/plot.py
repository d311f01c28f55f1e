"""The picture of a run. Needs matplotlib (extra ``bench``); without it there is a table and no picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tools.bench.report import Figure, Report, median

COLOURS = {"service": "#1b6ca8", "bare": "#9aa5b1", "naive": "#d08770"}


def draw(report: Report, path: Path) -> bool:
    """Write a PNG. False where matplotlib is not installed, or there is nothing to draw."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = [group for group in _groups(report) if group[1]]
    points = report.series
    panels = len(groups) + (len(_SERIES) if points else 0)
    if not panels:
        return False
    figure, axes = pyplot.subplots(1, panels, figsize=(4.6 * panels, 4.2), squeeze=False)
    for axis, (title, figures) in zip(axes[0], groups, strict=False):
        _bars(axis, title, figures)
    for axis, (key, title) in zip(axes[0][len(groups) :], _SERIES if points else (), strict=True):
        _lines(axis, title, key, points)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


_SERIES = (
    ("workers_per_s", "workers/s to the last deletion"),
    ("cpu_ms_per_worker", "CPU of all replicas, ms a worker"),
    ("watch_kb_per_worker", "watch and lists of all replicas, kB a worker"),
)


def _groups(report: Report) -> list[tuple[str, list[Figure]]]:
    units = (("workers/s", "throughput, workers/s"), ("ms", "latency, ms"), ("requests", "requests a worker"))
    return [(title, [f for f in report.figures if f.unit == unit]) for unit, title in units]


def _bars(axis: Any, title: str, figures: list[Figure]) -> None:
    for at, (name, colour) in enumerate(COLOURS.items()):
        heights = [getattr(figure, name) or 0.0 for figure in figures]
        axis.bar([i + at * 0.28 for i in range(len(figures))], heights, 0.27, label=name, color=colour)
    axis.set_xticks([i + 0.28 for i in range(len(figures))])
    axis.set_xticklabels([figure.what for figure in figures], rotation=35, ha="right", fontsize=7)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7)
    if title.startswith("latency"):
        axis.set_yscale("log")


def _lines(axis: Any, title: str, key: str, points: list[dict[str, Any]]) -> None:
    pods = sorted({point["pods"] for point in points})
    for replicas in sorted({point["replicas"] for point in points}):
        rounds = [[p[key] for p in points if (p["replicas"], p["pods"]) == (replicas, n)] for n in pods]
        label = "1 replica" if replicas == 1 else f"{replicas} replicas"
        axis.plot(pods, [median(values) for values in rounds], marker="o", label=label)
    axis.set_xlabel("Pods")
    axis.set_xscale("log")
    axis.set_xticks(pods, [f"{number:,}" for number in pods], fontsize=8)
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7)
