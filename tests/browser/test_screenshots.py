"""The page in three sizes, dark and light, as pictures to look at, and what no picture should show."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.scenes import Scene
from tests.browser.viewer import Viewer
from tests.harness.sandbox import Sandbox, sandbox

View = Callable[..., Viewer]
SIZES = {"phone": (320, 568), "laptop": (1280, 800), "wall": (3840, 2160)}
# Elements that stick out of the window, or whose text is cut where nothing says that it may be.
CUT = """
() => [...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  if (!box.width || element.closest("[hidden], .hidden, .skip, svg")) return false;
  const style = getComputedStyle(element);
  const may = style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none"
    || style.overflowX === "auto" || element.closest(".meter, .bar-of, pre, input");
  // A row may reach a little into the margin.
  const cut = style.display !== "inline" && element.scrollWidth > element.clientWidth + 4;
  return !may && (cut || box.right > window.innerWidth + 1);
}).map((element) => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 60)}`)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox() as made:
        for name in ("x2x4k", "9fj2p", "m4q7z"):
            made.start(f"ottoscaler-7d9f4b8c6d-{name}")
        yield made


@pytest.mark.parametrize(
    ("size", "colour"),
    [
        ("phone", "dark"),
        ("laptop", "light"),
        pytest.param("phone", "light", marks=pytest.mark.long),
        pytest.param("laptop", "dark", marks=pytest.mark.long),
        pytest.param("wall", "light", marks=pytest.mark.long),
        ("wall", "dark"),
    ],
)
def test_nothing_sticks_out_in_any_size(
    view: View, scene: Scene, shots: Path, size: str, colour: str
) -> None:
    width, height = SIZES[size]
    viewer = view(width=width, height=height, dark=colour == "dark")
    expect(viewer.cells(scene.korean, "running")).to_have_count(6)
    viewer.page.screenshot(path=shots / f"page-{size}-{colour}.png")
    assert viewer.page.evaluate(CUT) == []
    for name, event_id in (("story", scene.mixed), ("failed", scene.failed), ("dead", scene.dead)):
        viewer.open_story(event_id)
        first = viewer.page.locator("#story-workers details").first
        if name != "dead":
            first.evaluate("element => { element.open = true; }")
        viewer.page.screenshot(path=shots / f"{name}-{size}-{colour}.png")
        assert viewer.page.evaluate(CUT) == []
        viewer.page.keyboard.press("Escape")
    viewer.page.locator("#search-text").fill("nightly-lint-1")
    viewer.page.locator("#search-text").press("Enter")
    expect(viewer.page.locator("dialog[open]")).to_be_visible()


def test_pictures_are_there_for_ci_to_keep(shots: Path) -> None:
    makefile = (shots.parents[1] / "Makefile").read_text(encoding="utf-8")
    (named,) = re.findall(r"^SHOTS := (\S+)$", makefile, re.MULTILINE)
    assert shots.parents[1] / named == shots
