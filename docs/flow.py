"""Draws docs/flow.svg: how one event goes through Ottoscaler.

    python docs/flow.py        # writes docs/flow.svg

Pure text, no library, and the same bytes on every machine; a test compares the picture with this source.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 960, 470
INK, SOFT, PAPER = "#1f2933", "#52606d", "#ffffff"
REDIS, SERVICE, KUBERNETES, OUTSIDE = "#fde8e4", "#e6f0fb", "#e9e6fb", "#f3f4f6"


@dataclass(frozen=True)
class Box:
    """A box with a title and a line or two below it."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...]
    fill: str

    def svg(self) -> str:
        middle = self.x + self.width / 2
        top = self.y + self.height / 2 - 8 * len(self.lines) + 5
        parts = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8" '
            f'fill="{self.fill}" stroke="{INK}"/>',
            text(middle, top, self.title, "b"),
        ]
        parts += [text(middle, top + 17 * n, line, "s") for n, line in enumerate(self.lines, 1)]
        return "\n".join(parts)


def text(x: float, y: float, words: str, style: str = "s") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(words)}</text>'


def arrow(*points: tuple[int, int], dashed: bool = False) -> str:
    path = " L".join(f"{x},{y}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M{path}" class="a"{dashes} marker-end="url(#tip)"/>'


PRODUCERS = Box(20, 60, 130, 70, "producers", ("redis-cli XADD",), OUTSIDE)
READERS = Box(20, 350, 130, 70, "readers", ("XREAD",), OUTSIDE)
EVENTS = Box(200, 60, 150, 70, "events", ("otto:scale:events",), REDIS)
LEDGER = Box(200, 205, 150, 70, "ledger", ("owner, attempts, Pods,", "results: what is durable"), REDIS)
RESULTS = Box(200, 350, 150, 70, "results", ("an entry a worker, one", "an event; dead letters"), REDIS)
LISTENER = Box(410, 60, 120, 70, "listener", ("reads only what", "still fits in hand"), SERVICE)
DISPATCHER = Box(570, 60, 120, 70, "dispatcher", ("priority, then", "round-robin; slots"), SERVICE)
WORKERS = Box(
    440, 205, 220, 70, "workers (bounded pool)", ("start, create, sleep,", "record, delete"), SERVICE
)
RECOVERY = Box(410, 350, 120, 70, "takeover", ("what dead, full and", "stopped ones left"), SERVICE)
WATCH = Box(570, 350, 120, 70, "watch", ("one for all Pods,", "wakes one worker"), SERVICE)
API = Box(760, 135, 150, 70, "Kubernetes API", ("create, delete,", "list, watch"), KUBERNETES)
PODS = Box(760, 350, 150, 70, "worker Pods", ("one for each event,", "index and attempt"), KUBERNETES)
BOXES = (
    PRODUCERS, READERS, EVENTS, LEDGER, RESULTS, LISTENER, DISPATCHER, WORKERS, RECOVERY, WATCH, API,
    PODS,
)  # fmt: skip

FRAMES = (
    (185, 20, 180, 430, "Redis"),
    (395, 20, 310, 430, "Ottoscaler, any number of replicas"),
    (745, 20, 180, 430, "Kubernetes"),
)

ARROWS = (
    arrow((150, 95), (200, 95)),
    arrow((350, 95), (410, 95)),
    arrow((530, 95), (570, 95)),
    arrow((630, 130), (630, 205)),
    arrow((440, 240), (350, 240)),
    arrow((275, 275), (275, 350)),
    arrow((325, 275), (325, 320), (430, 320), (430, 350)),
    arrow((490, 350), (490, 275)),
    arrow((200, 385), (150, 385)),
    arrow((660, 240), (730, 240), (730, 170), (760, 170)),
    arrow((835, 205), (835, 350)),
    arrow((760, 385), (690, 385), dashed=True),
    arrow((590, 350), (590, 275), dashed=True),
)

NOTES = (
    (550, 84, "queue"),
    (662, 172, "submit"),
    (395, 229, "before and"),
    (395, 257, "after each step"),
    (236, 316, "same step"),
    (612, 316, "wake"),
    (520, 316, "adopt"),
    (862, 290, "run"),
    (725, 376, "status"),
)


def picture() -> str:
    """The whole SVG, ending with a newline."""
    frames = [
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="12" fill="none" stroke="{SOFT}" '
        f'stroke-dasharray="2 4"/>\n{text(x + w / 2, y + 22, title, "f")}'
        for x, y, w, h, title in FRAMES
    ]
    # A paper-coloured outline keeps a note readable where it crosses a line.
    notes = [text(x, y, words, "n") for x, y, words in NOTES]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="title">',
        '<title id="title">An event goes from Redis through listener, dispatcher and workers to Pods; its '
        "results are in Redis before the Pods are deleted</title>",
        "<style>text{font-family:Helvetica,Arial,sans-serif;text-anchor:middle;fill:" + INK + "}"
        ".b{font-size:15px;font-weight:bold}.s{font-size:12px}.f{font-size:13px;fill:" + SOFT + "}"
        ".n{font-size:11px;fill:" + SOFT + ";paint-order:stroke;stroke:" + PAPER + ";stroke-width:4px}"
        ".a{fill:none;stroke:" + INK + ";stroke-width:1.5}</style>",
        f'<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        f'orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{INK}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
        *frames,
        *ARROWS,
        *(box.svg() for box in BOXES),
        *notes,
        "</svg>",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(picture(), encoding="utf-8")
