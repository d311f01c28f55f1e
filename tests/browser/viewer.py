"""Somebody who looks at the page: a browser tab that notes all that went wrong in it."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, Request, expect

WAIT_MS = 30_000  # for whatever a test waits for; a slow machine needs seconds
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

expect.set_options(timeout=WAIT_MS)


class Viewer:
    """One tab, ready when the page is live. Console errors with a word of ``forgiven`` may come."""

    def __init__(
        self,
        browser: Browser,
        base: str,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        path: str = "",
        bypass_csp: bool = False,
        forgiven: tuple[str, ...] = (),
    ) -> None:
        self.wrong: list[str] = []
        self._base, self._forgiven, self._closed = base, forgiven, False
        self._context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            timezone_id="UTC",
            bypass_csp=bypass_csp,
            reduced_motion="reduce",
        )
        self._context.set_default_timeout(WAIT_MS)
        self._context.add_init_script(NOTE_VIOLATIONS)
        self.page: Page = self._context.new_page()
        self.page.on("dialog", self._dialog)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("popup", lambda popup: self.wrong.append(f"popup: {popup.url}"))
        self.page.on("request", self._request)
        self.page.goto(base + path)
        self.wait_connection("live")

    def close(self) -> list[str]:
        """What went wrong. May be called again."""
        if self._closed:
            return self.wrong
        self._closed = True
        violations: list[str] = self.page.evaluate("window.violations || []")
        self.wrong += [f"violation: {each}" for each in violations]
        self._context.close()
        return self.wrong

    def wait_connection(self, state: str) -> None:
        expect(self.page.locator("html")).to_have_attribute("data-connection", state)

    # --- parts of the page

    def event(self, event_id: str) -> Locator:
        return self.page.locator(f'#events > li[data-event="{event_id}"]')

    def cells(self, event_id: str, state: str = "") -> Locator:
        chosen = f'[data-state="{state}"]' if state else "[data-state]"
        return self.event(event_id).locator(f".cells {chosen}")

    def figure(self, name: str) -> Locator:
        return self.page.locator(f"#glance [data-figure={name}] b")

    def steps(self) -> list[str]:
        found: list[str] = self.page.locator("#story-steps > li").evaluate_all(
            "rows => rows.map((row) => row.dataset.step)"
        )
        return found

    def open_story(self, event_id: str) -> None:
        """By its link, as it would be pasted into a chat."""
        self.page.evaluate("hash => { location.hash = hash; }", f"#event={quote(event_id)}")
        expect(self.page.locator(f'dialog#story[open][data-event="{event_id}"]')).to_be_visible()
        expect(self.page.locator("#story-steps > li").first).to_be_visible()

    # --- what goes wrong

    def _dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(word in message.text for word in self._forgiven):
            self.wrong.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._base, "data:")):
            self.wrong.append(f"request elsewhere: {request.url}")
