"""Makes the README's first pictures anew: docs/demo.svg, docs/page-light.png and docs/page-dark.png.

    make browser-test ARGS=--collect-only      # once: installs what drives the browser
    .venv/bin/python docs/picture.py           # three minutes; needs chromium

demo.svg is what `make demo` prints, line by line as it came, in the time it took. The others are the status
page of a local cluster that runs a small mix of events, as Chromium draws it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path

from ottoscaler.client import Client
from ottoscaler.local import LocalCluster
from ottoscaler.local.service import Service

DOCS = Path(__file__).parent

# --- the demo

COLUMNS, LINE, TOP, LEFT = 112, 19, 46, 20
PAPER, BAR, INK, SOFT = "#11161c", "#1a2129", "#e8edf2", "#a3afbb"
SIGNS = {"✔": "#5ccb8b", "✘": "#ff8a80", "▶": "#6ea8ff"}
LEFT_OUT = ("A local Kubernetes", "Its status page", "To go on", "`make demo", "Without a clone")


def demo_lines() -> Iterator[tuple[float, str]]:
    """Each line of the demo with the seconds since its start."""
    with subprocess.Popen(
        [sys.executable, "-m", "ottoscaler", "demo"], stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        begun = time.monotonic()
        for line in demo.stdout:
            yield time.monotonic() - begun, line.rstrip("\n")
    if demo.returncode:
        raise SystemExit(f"the demo ended with {demo.returncode}")


def shown(lines: Iterator[tuple[float, str]]) -> list[tuple[float, str]]:
    """What the picture has of them: without addresses, and no line longer than the picture."""
    found = [(0.0, "$ make demo")]
    for at, line in lines:
        text = re.sub(r" -u redis://\S+", "", line)
        if text.startswith(LEFT_OUT) or (not text and not found[-1][1]):
            continue
        found.append((at, text if len(text) <= COLUMNS else text[: COLUMNS - 1] + "…"))
    return found


def coloured(line: str) -> str:
    text = escape(line)
    for sign, colour in SIGNS.items():
        text = re.sub(
            rf"{sign} \d+ \w+", lambda found, c=colour: f'<tspan fill="{c}">{found[0]}</tspan>', text
        )
    return text


def svg(lines: list[tuple[float, str]]) -> str:
    """A terminal in which the lines come as they came. Where nothing moves, all of them are there."""
    width, height = int(COLUMNS * 8.4) + 2 * LEFT, TOP + LINE * len(lines) + 12
    rows = []
    for number, (at, line) in enumerate(lines):
        style = "b" if re.match(r"\d\. |\$ ", line) else "s" if line.lstrip().startswith("$") else "t"
        rows.append(
            f'<text x="{LEFT}" y="{TOP + LINE * (number + 1) - 5}" class="{style}" '
            f'style="animation-delay:{at:.2f}s">{coloured(line)}</text>'
        )
    dots = "".join(
        f'<circle cx="{20 + 18 * n}" cy="16" r="5.5" fill="{c}"/>'
        for n, c in enumerate(("#ff8a80", "#e8b04b", "#5ccb8b"))
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
 aria-labelledby="t">
<title id="t">make demo: three events on a local cluster, their workers' states and results</title>
<style>
text {{ font: 14px ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, monospace; fill: {INK};
  white-space: pre }}
.b {{ font-weight: 700 }} .s {{ fill: {SOFT} }}
@media (prefers-reduced-motion: no-preference) {{ text {{ animation: come .15s backwards }} }}
@keyframes come {{ from {{ opacity: 0 }} to {{ opacity: 1 }} }}
</style>
<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>
<path d="M0 32V10A10 10 0 0 1 10 0H{width - 10}A10 10 0 0 1 {width} 10V32Z" fill="{BAR}"/>
{dots}
{chr(10).join(rows)}
</svg>
"""


# --- the page

SLOTS = 60
SOME_END = "[ $((OTTO_WORKER_INDEX % 3)) = 1 ] && exit 0"
SIZE = {"width": 1280, "height": 860}
FAILING = (
    'sleep 4; [ $((OTTO_WORKER_INDEX % 9)) = 4 ] && { echo "AssertionError: 503 != 200" >&2; exit 1; }; true'
)


def mix(client: Client) -> None:
    """Two minutes of a CI platform's day, and what is in flight when the picture is taken."""
    for number in range(12, 17):
        client.scale_up(10, task_id=f"build-{number}", command="sleep $((2 + OTTO_WORKER_INDEX % 5))")
        client.scale_up(18, task_id=f"tests-{number}", command=FAILING)
        time.sleep(24)
    client.scale_up(2, task_id="nightly", image="registry.example/unknown:1")
    client.scale_up(12, task_id="build-17", command="sleep 600")
    client.scale_up(6, task_id="lint-17", command="sleep $((OTTO_WORKER_INDEX * 5))")
    client.scale_up(26, task_id="tests-17", command=f"{FAILING}; {SOME_END}; sleep 600")
    client.scale_up(8, task_id="images-17", command="sleep 600")
    client.scale_up(16, task_id="integration-17", command=f"{SOME_END}; sleep 600")
    client.scale_up(30, task_id="deploy-preview", command="sleep 600")
    time.sleep(1)
    client.scale_down(task_id="build-17", pod_count=2)
    time.sleep(14)


def page_pictures() -> None:
    from playwright.sync_api import sync_playwright

    environ = {"OTTO_MAX_WORKERS": str(SLOTS), "PATH": "/usr/bin:/bin"}
    with LocalCluster("process") as cluster, tempfile.TemporaryFile() as log:
        service = Service(str(cluster.kubeconfig_path), cluster.redis_url, environ, log)
        service.environ["REDIS_CONSUMER"] = "ottoscaler-0"
        service.start()
        try:
            with Client.from_environment(service.environ) as client, sync_playwright() as driver:
                mix(client)
                browser = driver.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                for scheme in ("light", "dark"):
                    page = browser.new_page(viewport=SIZE, color_scheme=scheme, device_scale_factor=1.5)
                    page.goto(service.url)
                    page.wait_for_selector("#events [data-state=running]")
                    page.screenshot(path=DOCS / f"page-{scheme}.png")
                    page.close()
                browser.close()
        finally:
            service.stop()


def main() -> None:
    (DOCS / "demo.svg").write_text(svg(shown(demo_lines())), encoding="utf-8")
    page_pictures()


if __name__ == "__main__":
    main()
