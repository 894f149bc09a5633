"""The page for whoever uses a keyboard, a screen reader, a dark screen or less motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.launch import Service
from tests.real.browser import chromium, watched

pytestmark = pytest.mark.real

# Of every element that has text of its own: the contrast to what is behind it (WCAG 2.2, 1.4.3).
CONTRASTS = """() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = channels(getComputedStyle(at).backgroundColor);
      if (alpha === 1 && r !== undefined) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const own = (element) => [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  return [...document.body.querySelectorAll("*")]
    .filter((e) => own(e) && e.checkVisibility() && !e.closest("button:disabled, .skip"))
    .map((e) => {
      const [a, b] = [light(channels(getComputedStyle(e).color)), light(ground(e))];
      return [e.textContent.trim().slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
}"""
FOCUSED = """() => {
  const at = document.activeElement;
  const style = getComputedStyle(at);
  const beside = at.nextElementSibling && getComputedStyle(at.nextElementSibling);
  const outlined = (one) => one && one.outlineStyle !== "none" && parseFloat(one.outlineWidth) > 0;
  return {
    name: at.id || at.getAttribute("name") || at.textContent.trim(),
    seen: outlined(style) || (at.type === "radio" && outlined(beside)),
  };
}"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, textarea, canvas"),
                    ...document.querySelectorAll("[tabindex='0']")]
  .filter((e) => e.checkVisibility() && !e.closest("[aria-hidden=true]"))
  .filter((e) => !(e.labels?.length || e.ariaLabel || e.getAttribute("aria-labelledby")
                   || e.textContent.trim()))
  .map((e) => e.outerHTML)"""
MOST_STOPS = 60  # of the Tab key, on the way through the page


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    with Service("--models", "fnn,mingru", log=log) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def opened(page: Page, service: Service, path: str = "/") -> Page:
    page.goto(service.base_url + path)
    if path == "/":
        expect(page.locator("#board tr[data-label]:not(.stale)")).to_have_count(3)
        expect(page.locator("#chart canvas")).to_be_visible()
    else:
        expect(page.locator(".operation").first).to_be_visible()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_text_stands_out_from_its_ground(
    browser: Browser, service: Service, path: str, scheme: str
) -> None:
    with watched(browser, service.base_url, color_scheme=scheme) as page:
        found: list[tuple[str, float]] = opened(page, service, path).evaluate(CONTRASTS)
    assert len(found) > 20
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_control_has_a_name(browser: Browser, service: Service, path: str) -> None:
    with watched(browser, service.base_url) as page:
        assert opened(page, service, path).evaluate(NAMELESS) == []
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.locator("html").get_attribute("lang") == "en"


def test_keyboard_goes_through_the_page_in_its_order(browser: Browser, service: Service) -> None:
    with watched(browser, service.base_url) as page:
        opened(page, service)
        stops: list[dict[str, Any]] = []
        for _ in range(MOST_STOPS):
            page.keyboard.press("Tab")
            stops.append(page.evaluate(FOCUSED))
            if stops[-1]["name"].startswith("/v1/gap"):
                break
        assert [stop["name"] for stop in stops if not stop["seen"]] == []
        names = [stop["name"] for stop in stops]
        order = ["Skip to the text box", "text", "repeat", "play", "baseline", "batch", "unit"]
        order += ["sweep", "chart", "/v1/gap"]
        assert [name for name in names if name in order] == order


def test_skip_link_leads_to_the_text(browser: Browser, service: Service) -> None:
    with watched(browser, service.base_url) as page:
        opened(page, service)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Your text")).to_be_focused()


def test_steps_are_played_unless_less_motion_is_asked_for(
    browser: Browser, service: Service
) -> None:
    play = "Play it slowly"
    with watched(browser, service.base_url) as page:
        opened(page, service).get_by_role("button", name=play).click()
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name=play)).to_be_visible()  # it ends by itself
    with watched(browser, service.base_url, reduced_motion="reduce") as page:
        opened(page, service).get_by_role("button", name=play).click()
        expect(page.locator("#lanes-note")).to_contain_text("asks for less motion")
        moving = "e => parseFloat(getComputedStyle(e).transitionDuration)"
        assert page.locator("#board td").first.evaluate(moving) == 0


@pytest.mark.parametrize("width", [360, 800])
def test_nothing_runs_out_of_a_narrow_screen(
    browser: Browser, service: Service, width: int
) -> None:
    with watched(browser, service.base_url, viewport={"width": width, "height": 800}) as page:
        opened(page, service)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
