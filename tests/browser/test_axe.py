"""axe-core finds no violation. Its script is in the package axe-playwright-python."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.scenes import Scene
from tests.browser.viewer import Viewer

AXE = files("axe_playwright_python") / "axe.min.js"
View = Callable[..., Viewer]


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        (320, False),
        (1280, True),
        pytest.param(360, True, marks=pytest.mark.long),
        pytest.param(1280, False, marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_violation(view: View, scene: Scene, width: int, dark: bool) -> None:
    viewer = view(width=width, dark=dark, bypass_csp=True)  # or axe itself could not be put in
    viewer.page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    expect(viewer.cells(scene.korean, "running")).to_have_count(6)
    assert violations(viewer) == []
    for event_id in (scene.mixed, scene.failed, scene.dead):
        viewer.open_story(event_id)
        viewer.page.locator("#story details").evaluate_all(
            "all => all.forEach((each) => { each.open = true; })"
        )
        assert violations(viewer) == []
        viewer.page.keyboard.press("Escape")
    viewer.page.locator("#search-text").fill("nightly")
    viewer.page.locator("#search-text").press("Enter")
    expect(viewer.page.locator("dialog#found[open]")).to_be_visible()
    assert violations(viewer) == []


def violations(viewer: Viewer) -> list[str]:
    """Each with where it is and why."""
    found: dict[str, Any] = viewer.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"][:3]
    ]
