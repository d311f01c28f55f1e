"""The page with 5,000 workers in flight: numbers and a bar stand for what is too much to draw."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.viewer import Viewer
from tests.harness.cluster_state import FOREVER
from tests.harness.sandbox import Sandbox, sandbox

View = Callable[..., Viewer]
EVENTS, WORKERS, SLOTS = 5, 1000, 120
MOST_CELLS = 3000


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox(OTTO_MAX_WORKERS=str(SLOTS)) as made:
        made.start("ottoscaler-7d9f4b8c6d-x2x4k")
        yield made


@pytest.fixture(scope="module")
def events(place: Sandbox) -> list[str]:
    made = [place.scale_up(WORKERS, run_seconds=FOREVER, task_id=f"matrix-{n}") for n in range(EVENTS)]
    place.wait_workers(made[0], "Running", 10, 60)
    return made


@pytest.mark.long
def test_five_thousand_workers_are_told_and_a_part_of_them_drawn(
    view: View, events: list[str], shots: Path
) -> None:
    viewer = view()
    expect(viewer.page.locator("#events > li")).to_have_count(EVENTS)
    expect(viewer.figure("waiting")).to_have_text(re.compile(r"4,\d{3}"))
    assert 0 < viewer.page.locator("#events .cells [data-state]").count() <= MOST_CELLS
    for event_id in events:
        tally = viewer.event(event_id).locator(".tally").inner_text().partition(";")[0]
        told = [int(found.replace(",", "")) for found in re.findall(r"([\d,]+) [a-z]", tally)]
        assert sum(told) == WORKERS, tally
    viewer.page.screenshot(path=shots / "large-laptop.png")
    viewer.open_story(events[-1])
    viewer.page.keyboard.press("Escape")
    viewer.page.keyboard.press("End")
    viewer.page.screenshot(path=shots / "large-laptop-end.png")
    wall = view(width=3840, height=2160, dark=True)
    expect(wall.page.locator("#events > li")).to_have_count(EVENTS)
    wall.page.screenshot(path=shots / "large-wall.png")
    phone = view(width=360, height=740)
    expect(phone.page.locator("#events > li")).to_have_count(EVENTS)
    phone.page.screenshot(path=shots / "large-phone.png")


@pytest.mark.long
def test_a_story_of_a_thousand_workers_shows_them_in_parts(
    view: View, place: Sandbox, events: list[str]
) -> None:
    viewer = view()
    viewer.open_story(events[0])
    workers = viewer.page.locator("#story-workers > li")
    expect(workers.first).to_be_visible()
    assert workers.count() <= 100
    place.send("scale_down", task_id="matrix-0")
    expect(viewer.page.locator('#story-steps > li[data-step="ended"]')).to_have_count(1)
    viewer.page.locator("#story-more").click()
    expect(workers).to_have_count(200)
