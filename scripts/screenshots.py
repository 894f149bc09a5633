"""Pictures of the page in a real Chromium, of a service started for them: docs/page/*.png.

    .venv/bin/python scripts/screenshots.py [--out FOLDER] [flags of lockstep serve]

Needs Chromium (`make parts`) and the tests' packages. Everything on the pictures was measured while
they were taken, so take them where nothing else runs.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from serving import serving

PORT = 8766
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTH, MARGIN = 1280, 24
COLOURS = 240  # of a picture's palette: a third of the bytes, and no eye tells
LONGEST_MS = 300_000
BOY = "The boy is happy"


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, scheme: str) -> Iterator[Page]:
    """The page, light or dark."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.set_default_timeout(LONGEST_MS)
    page.goto(f"http://127.0.0.1:{PORT}/")
    measured(page)
    yield page
    context.close()


def measured(page: Page) -> None:
    """Waits until everyone was asked three times."""
    page.locator("#board tr").first.wait_for()
    rows = page.locator("#board tr").count()
    page.locator('#board tr:not(.stale)[data-rounds="3"]').nth(rows - 1).wait_for()


def choose(page: Page, sample: str) -> None:
    page.get_by_role("button", name=sample).click()
    measured(page)


def sweep(page: Page) -> None:
    """Every length, so that the chart has its lines."""
    page.get_by_role("button", name="Try every length").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="Try every length").wait_for()


def save(page: Page, out: Path, first: str, last: str) -> None:
    """What lies from one section of the page to another, as a picture of few bytes."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # what moves has come to rest
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    top = page.locator(first).evaluate("e => e.getBoundingClientRect().top + scrollY")
    bottom = page.locator(last).evaluate("e => e.getBoundingClientRect().bottom + scrollY")
    part = picture.crop(
        (0, max(0, int(top) - MARGIN), WIDTH, min(picture.height, int(bottom) + MARGIN))
    )
    palette = part.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    palette.save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("docs/page"), help="folder")
    asked, flags = parser.parse_known_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with serving(PORT, *flags), chromium() as browser:
        with opened(browser, "light") as page:
            sweep(page)
            choose(page, BOY)
            save(page, asked.out / "light.png", "header", "#path-section")
            save(page, asked.out / "gap.png", '[aria-labelledby="gap-title"]', "footer")
        with opened(browser, "dark") as page:
            choose(page, "A turn at the end")
            save(page, asked.out / "dark.png", "header", "footer")
        with opened(browser, "light") as page:
            choose(page, "A very long review")
            save(page, asked.out / "long.png", "header", '[aria-labelledby="steps-title"]')


if __name__ == "__main__":
    main()
