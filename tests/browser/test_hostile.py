"""Whatever a producer puts into an event stays text on the page, and what is secret never comes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.scenes import HOSTILE, hostile
from tests.browser.viewer import Viewer
from tests.harness.sandbox import Sandbox, sandbox

View = Callable[..., Viewer]
# Elements and attributes that the page never makes, wherever their text came from.
INJECTED = """
() => [...document.querySelectorAll("*")].flatMap((element) =>
  [...element.attributes].filter((each) => each.name.startsWith("on")
    || (["href", "src", "action", "formaction"].includes(each.name) && /^\\s*javascript:/i.test(each.value)))
    .map((each) => `${element.tagName} ${each.name}`)
    .concat(["IMG", "IFRAME", "OBJECT", "EMBED"].includes(element.tagName) ? [element.tagName] : [])
    .concat(element.tagName === "SCRIPT" && !element.src.endsWith("/page.js") ? ["SCRIPT"] : [])
    .concat(element.tagName === "B" && element.textContent === "bold" ? ["B"] : []))
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Sandbox]:
    with sandbox() as made:
        made.start(REDIS_CONSUMER="<i>replica</i>")
        yield made


def test_hostile_values_stay_text_wherever_they_are_shown(view: View, place: Sandbox, shots: Path) -> None:
    told: list[str] = []
    viewer = view()
    viewer.page.on("response", lambda answer: told.append(answer.url))
    made = hostile(place)
    expect(viewer.page.locator("#failures > li")).to_have_count(len(HOSTILE))
    expect(viewer.page.locator("#dead > li")).to_have_count(len(HOSTILE))
    for number, text in enumerate(HOSTILE):
        failed, running, dead = made[3 * number : 3 * number + 3]
        expect(viewer.event(running).locator(".task")).to_have_text(f"{text} in flight")
        for event_id in (failed, dead):
            viewer.open_story(event_id)
            expect(viewer.page.locator("#story-title")).to_have_text(text)
            open_everything(viewer)
            assert viewer.page.evaluate(INJECTED) == []
            assert "s3cret" not in viewer.page.content()
            viewer.page.keyboard.press("Escape")
    # What turns the direction of reading turns none but its own text.
    turned = viewer.event(made[-2])
    task, own_id = (turned.locator(part).bounding_box() for part in (".task", ".id"))
    assert task is not None
    assert own_id is not None
    assert task["x"] + task["width"] <= own_id["x"]
    viewer.page.screenshot(path=shots / "hostile.png", full_page=True)
    expect(viewer.page.locator("#replicas .name")).to_have_text("<i>replica</i>")
    assert viewer.page.evaluate(INJECTED) == []
    assert told, "the stories were asked for"


def open_everything(viewer: Viewer) -> None:
    """Each worker's details and each of its logs."""
    viewer.page.locator("#story details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    for button in viewer.page.locator("#story .logs button").all():
        button.click()
        expect(viewer.page.locator("#story pre.log").first).not_to_have_text("reading …")


def test_a_hostile_link_or_search_stays_text(view: View, place: Sandbox) -> None:
    viewer = view(path="#event=<img src=x onerror=alert(6)>", forgiven=("404", "400"))
    viewer.page.keyboard.press("Escape")
    for text in HOSTILE:
        viewer.page.locator("#search-text").fill(f"{text} not there")
        viewer.page.locator("#search-text").press("Enter")
        expect(viewer.page.locator("#found-title")).to_contain_text(f"{text} not there")
        assert viewer.page.evaluate(INJECTED) == []
        viewer.page.keyboard.press("Escape")
        expect(viewer.page.locator("dialog[open]")).to_have_count(0)


def test_the_policy_forbids_a_script_that_got_in_all_the_same(view: View, place: Sandbox) -> None:
    viewer = view(forgiven=("Content Security Policy",))
    viewer.page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
    }""")
    assert viewer.page.evaluate("window.ran") is None
    assert any("script-src" in each for each in viewer.page.evaluate("window.violations"))
    viewer.page.evaluate("window.violations = []")
