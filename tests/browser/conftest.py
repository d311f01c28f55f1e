"""A headless Chromium for each test process, and a service with its page for each module."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.sandbox import Sandbox, sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium")
# Where either cannot be had, there is nothing to collect.
THERE = CHROMIUM is not None and importlib.util.find_spec("playwright") is not None
collect_ignore_glob = [] if THERE else ["test_*.py", "viewer.py"]

if THERE:
    from tests.browser.scenes import Scene, everyday
    from tests.browser.viewer import Viewer

    @pytest.fixture(scope="session")
    def chromium() -> Iterator[Browser]:
        """Without its sandbox, which root may not use; it sees nothing but our own page."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield browser
            browser.close()

    @pytest.fixture(scope="module")
    def place() -> Iterator[Sandbox]:
        """Redis, a cluster and one replica with its page."""
        with sandbox() as made:
            made.start("ottoscaler-7d9f4b8c6d-x2x4k")
            yield made

    @pytest.fixture(scope="module")
    def scene(place: Sandbox) -> Scene:
        """The page of an ordinary day."""
        return everyday(place)

    @pytest.fixture
    def view(chromium: Browser, place: Sandbox) -> Iterator[Callable[..., Viewer]]:
        """Opens the page, live: ``view(width=360, ...)``. At the end nothing may have gone wrong in it."""
        opened: list[Viewer] = []

        def open_page(port: int = 0, **wanted: Any) -> Viewer:
            viewer = Viewer(chromium, f"http://127.0.0.1:{port or place.replicas[0].port}/", **wanted)
            opened.append(viewer)
            return viewer

        yield open_page
        wrong = [each for viewer in opened for each in viewer.close()]
        assert wrong == []

    @pytest.fixture(scope="session")
    def shots() -> Path:
        """Where screenshots go: the Makefile and CI name it too."""
        directory = Path(__file__).parents[2] / "build" / "screenshots"
        directory.mkdir(parents=True, exist_ok=True)
        return directory
