"""The page by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.viewer import Viewer
from tests.harness.cluster_state import FOREVER
from tests.harness.sandbox import Sandbox

View = Callable[..., Viewer]
FOCUSED = "document.activeElement"
OUTLINED = f"getComputedStyle({FOCUSED}).outlineStyle !== 'none'"


@pytest.fixture(scope="module")
def running(place: Sandbox) -> str:
    event_id = place.scale_up(40, run_seconds=FOREVER, task_id="keys", logs="all")
    place.wait_workers(event_id, "Running", 40, 60)
    return event_id


def test_everything_is_reached_and_opened_without_a_mouse(view: View, running: str) -> None:
    viewer = view()
    page = viewer.page
    expect(viewer.cells(running, "running")).to_have_count(40)
    page.keyboard.press("Tab")
    assert page.evaluate(f"{FOCUSED}.className") == "skip"
    assert page.evaluate(OUTLINED)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{FOCUSED}.closest('li').dataset.event") == running
    assert page.evaluate(OUTLINED)
    page.keyboard.press("Enter")
    story = page.locator("dialog#story[open]")
    expect(story).to_be_visible()
    page.keyboard.press("Escape")
    expect(story).to_have_count(0)
    assert page.evaluate(f"{FOCUSED}.className") == "open", "the focus comes back to what opened it"


def test_arrows_go_from_cell_to_cell_and_enter_opens_one(view: View, running: str) -> None:
    viewer = view()
    page = viewer.page
    expect(viewer.cells(running, "running")).to_have_count(40)
    viewer.event(running).locator("button.open").focus()
    page.keyboard.press("Tab")
    chosen = viewer.event(running).locator(".cells [aria-selected=true]")
    expect(chosen).to_have_attribute("data-index", "0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(chosen).to_have_attribute("data-index", "2")
    expect(page.locator("#peek")).to_contain_text("worker 2: running")
    page.keyboard.press("End")
    expect(chosen).to_have_attribute("data-index", "39")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    worker = page.locator("#story-workers > li[data-index='1'] details")
    expect(worker).to_have_attribute("open", "")


def test_slash_goes_to_the_search_and_focus_stays_in_an_open_dialog(view: View, running: str) -> None:
    viewer = view()
    page = viewer.page
    page.keyboard.press("/")
    assert page.evaluate(f"{FOCUSED}.id") == "search-text"
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    expect(page.locator("dialog#story[open]")).to_be_visible()
    expect(page.locator("#story-workers > li").first).to_be_visible()
    for _ in range(6):
        page.keyboard.press("Tab")
        inside = page.evaluate(f"{FOCUSED} === document.body || !!{FOCUSED}.closest('dialog[open]')")
        assert inside, page.evaluate(f"{FOCUSED}.outerHTML")
