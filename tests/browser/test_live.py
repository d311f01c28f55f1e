"""The page while events come and go, and while the connection to it does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.browser.viewer import Viewer
from tests.harness.cluster_state import FOREVER
from tests.harness.proxy import Proxy
from tests.harness.sandbox import Sandbox

View = Callable[..., Viewer]
REFUSED = ("net::ERR_",)
SLOW = re.compile(r"/api/search\?q=slow$")


def test_cells_change_while_the_page_is_open(view: View, place: Sandbox) -> None:
    viewer = view()
    event_id = place.scale_up(3, run_seconds=FOREVER, task_id="build-17")
    expect(viewer.cells(event_id, "running")).to_have_count(3)
    expect(viewer.event(event_id).locator(".task")).to_have_text("build-17")
    expect(viewer.figure("running")).to_have_text("3")
    place.send("scale_down", task_id="build-17", pod_count="1")
    expect(viewer.cells(event_id, "cancelled")).to_have_count(1)
    expect(viewer.cells(event_id, "running")).to_have_count(2)
    place.send("scale_down", task_id="build-17")
    expect(viewer.event(event_id)).to_have_count(0)
    expect(viewer.figure("running")).to_have_text("0")


def test_failures_and_dead_letters_show_with_their_reason(view: View, place: Sandbox) -> None:
    viewer = view()
    env = {"SIM_EXIT_CODE": "3", "SIM_REASON": "Error"}
    failed = place.scale_up(1, task_id="broken", env=env)
    dead = place.send("scale_up", pod_count="many", task_id="misspelt")
    failure = viewer.page.locator(f'#failures > li[data-event="{failed}"]')
    expect(failure).to_contain_text("broken")
    expect(failure).to_contain_text("Error 3")
    letter = viewer.page.locator(f'#dead > li[data-event="{dead}"]')
    expect(letter).to_contain_text("pod_count: invalid value 'many'")
    expect(viewer.figure("dead")).to_have_text("1")
    letter.locator("button").click()
    expect(viewer.page.locator("#story-fields")).to_contain_text("many")


def test_a_click_tells_an_events_whole_life_with_its_kept_log(view: View, place: Sandbox) -> None:
    viewer = view()
    event_id = place.scale_up(2, run_seconds=FOREVER, task_id="story", logs="all")
    expect(viewer.cells(event_id, "running")).to_have_count(2)
    viewer.event(event_id).locator("button.open").click()
    story = viewer.page.locator("dialog#story[open]")
    expect(story.locator("#story-title")).to_have_text("story")
    expect(story.locator("#story-workers > li")).to_have_count(2)
    down = place.send("scale_down", task_id="story")
    expect(story.locator('#story-steps > li[data-step="ended"]')).to_have_count(1)  # while it is open
    steps = viewer.steps()
    shown = ["sent", "read", "begun", "created", "running", "worker ended", "ended"]
    assert [word for word in dict.fromkeys(steps) if word != "cancelling"] == shown
    expect(story.locator("#story-steps")).to_contain_text(f"cancelled by {down}")
    expect(story.locator("#story-workers > li[data-state=cancelled]")).to_have_count(2)
    story.locator("#story-workers > li[data-index='1'] summary").click()
    story.locator("#story-workers > li[data-index='1'] .logs button").click()
    # Of what a simulated Pod would say otherwise, its env, the page tells nothing.
    expect(story.locator("#story-workers > li[data-index='1'] pre.log")).to_contain_text("no container ran")
    story.locator("button.close").click()
    expect(story).to_have_count(0)
    expect(viewer.page).not_to_have_url(re.compile("#"))  # the dialog says that it is closed a moment later


def test_search_and_links_find_an_event_by_task_and_by_id(view: View, place: Sandbox) -> None:
    first = place.scale_up(1, task_id="빌드-17")
    twice = [place.scale_up(1, task_id="again") for _ in range(2)]
    for event_id in (first, *twice):
        place.wait_event(event_id)
    viewer = view()
    search = viewer.page.locator("#search-text")
    search.fill("빌드-17")
    search.press("Enter")
    expect(viewer.page.locator(f'dialog#story[open][data-event="{first}"]')).to_be_visible()
    viewer.page.keyboard.press("Escape")
    search.fill("again")
    search.press("Enter")
    expect(viewer.page.locator("#found-list > li")).to_have_count(2)
    viewer.page.locator(f'#found-list > li[data-event="{twice[0]}"] button').click()
    expect(viewer.page.locator(f'dialog#story[open][data-event="{twice[0]}"]')).to_be_visible()
    viewer.page.keyboard.press("Escape")
    search.fill("nobody-knows-it")
    search.press("Enter")
    expect(viewer.page.locator("#found-none")).to_be_visible()
    pasted = view(path="#task=%EB%B9%8C%EB%93%9C-17")
    expect(pasted.page.locator(f'dialog#story[open][data-event="{first}"]')).to_be_visible()


def test_link_to_a_task_takes_the_place_of_another_tasks_list(view: View, place: Sandbox) -> None:
    events = [place.scale_up(1, task_id=task) for task in ("alone", "pair", "pair")]
    for event_id in events:
        place.wait_event(event_id)
    viewer = view(path="#task=pair")
    expect(viewer.page.locator("#found-list > li")).to_have_count(2)
    viewer.page.evaluate("location.hash = '#task=alone'")
    expect(viewer.page.locator(f'dialog#story[open][data-event="{events[0]}"]')).to_be_visible()
    expect(viewer.page.locator("dialog[open]")).to_have_count(1)
    viewer.page.evaluate("location.hash = '#event='")
    expect(viewer.page.locator("dialog[open]")).to_have_count(0)


def test_answer_to_an_earlier_search_changes_nothing_that_is_shown(view: View, place: Sandbox) -> None:
    first = place.scale_up(1, task_id="swift")
    place.wait_event(first)
    viewer = view()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    viewer.page.route(SLOW, hold)
    with viewer.page.expect_request(SLOW):
        viewer.page.evaluate("location.hash = '#task=slow'")
    viewer.page.evaluate(f"location.hash = '#event={first}'")
    expect(viewer.page.locator(f'dialog#story[open][data-event="{first}"]')).to_be_visible()
    with viewer.page.expect_response(SLOW):
        held[0].continue_()
    viewer.page.evaluate("fetch('api/search?q=later')")  # answered after the one before
    expect(viewer.page.locator("dialog[open]")).to_have_count(1)


def test_a_cut_connection_is_told_and_comes_back_by_itself(view: View, place: Sandbox) -> None:
    proxy = Proxy(place.replicas[0].port)
    try:
        viewer = view(proxy.port, forgiven=REFUSED)
        proxy.refuse()
        viewer.wait_connection("lost")
        expect(viewer.page.locator("#connection")).to_contain_text("retrying")
        event_id = place.scale_up(2, run_seconds=FOREVER, task_id="meanwhile")
        place.wait_workers(event_id, "Running", 2)
        proxy.accept()
        viewer.wait_connection("live")
        expect(viewer.cells(event_id, "running")).to_have_count(2)
        viewer.close()  # before the proxy goes
    finally:
        proxy.close()
    place.send("scale_down", task_id="meanwhile")


@pytest.mark.long
def test_a_connection_that_hangs_is_told_and_comes_back(view: View, place: Sandbox) -> None:
    proxy = Proxy(place.replicas[0].port)
    try:
        viewer = view(proxy.port, forgiven=REFUSED)
        proxy.hang()  # only the missing heartbeat tells
        expect(viewer.page.locator("html")).to_have_attribute("data-connection", "lost", timeout=90_000)
        proxy.flow()
        viewer.wait_connection("live")
        viewer.close()
    finally:
        proxy.close()


def test_a_pause_is_told(view: View, place: Sandbox) -> None:
    viewer = view()
    place.redis.set("otto:scale:events:ottoscaler:paused", "1767225600000")
    expect(viewer.page.locator("#notice")).to_contain_text("Paused since")
    place.redis.delete("otto:scale:events:ottoscaler:paused")
    expect(viewer.page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("colour", ["light", "dark"])
def test_states_are_told_by_letters_too(view: View, place: Sandbox, colour: str) -> None:
    viewer = view(dark=colour == "dark")
    event_id = place.scale_up(1, run_seconds=FOREVER, task_id=f"letters-{colour}")
    cell = viewer.cells(event_id, "running")
    expect(cell).to_have_text("R")
    expect(cell).to_have_attribute("aria-label", "worker 0, running")
    place.send("scale_down", task_id=f"letters-{colour}")
