"""A real Chromium, and a page of it whose every fault fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.launch import require

LONGEST_SECONDS = 180  # tells an answer from a hang, where every core is taken
ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, headless."""
    path = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        expect.set_options(timeout=LONGEST_SECONDS * 1000)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(
    browser: Browser, base_url: str, *, trouble: bool = False, **options: Any
) -> Iterator[Page]:
    """A page that asks nobody but the service, and whose scripts run without a fault.

    ``trouble`` expects requests to fail, which the console then tells of.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(LONGEST_SECONDS * 1000)
    elsewhere: list[str] = []
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        failed = message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not (trouble and failed):
            faults.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url))
    try:
        yield page
    finally:
        context.close()
    assert [url for url in elsewhere if not url.startswith(base_url)] == []
    assert faults == []
