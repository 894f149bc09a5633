"""The page in a real browser: typed into, looked at, left alone with a service in trouble."""

from __future__ import annotations

import http.client
import json
import re
import select
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus

import pytest
from playwright.sync_api import Browser, Page, expect

from models.registry import ARCHITECTURES
from tests.launch import ROOT, Service, eventually
from tests.real.browser import chromium, watched
from tests.service.http import TIMEOUT_SECONDS, get, post, sample

pytestmark = pytest.mark.real

MODELS = "cnn,lstm,mingru,transformer"
CONTENDERS = ["cnn", "lstm", "mingru, serial", "mingru, parallel", "transformer"]
PRAISE = "An utterly wonderful film, and I loved every minute of it."
BLAME = "A dull and awful mess that I hated."
KEY = "a-key-of-the-page-0123"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service("--models", MODELS, log=tmp_path_factory.mktemp("service") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The page, everyone's verdict on its first text there."""
    with watched(browser, service.base_url) as page:
        page.goto(service.base_url)
        judged(page, len(CONTENDERS))
        yield page


def judged(page: Page, count: int) -> None:
    """Waits until so many models have answered to the text that is in the box."""
    expect(page.locator("#board tr[data-label]:not(.stale)")).to_have_count(count)


def measured(page: Page) -> None:
    """Waits until everyone was asked three times, after which nothing is drawn anew."""
    done = page.locator('#board tr[data-rounds="3"]:not(.stale)')
    expect(done).to_have_count(len(CONTENDERS))


def type_in(page: Page, text: str) -> None:
    box = page.get_by_label("Your text")
    box.clear()
    box.press_sequentially(text)


def points(page: Page) -> int:
    return int(page.locator("#chart").get_attribute("data-points") or 0)


def test_typing_shows_every_models_verdict(page: Page, service: Service) -> None:
    for text in (PRAISE, BLAME):
        type_in(page, text)
        judged(page, len(CONTENDERS))
        for contender in CONTENDERS:
            (result,) = post(service, inputs=text, model=contender.split(",")[0]).json()["results"]
            row = page.locator(f'#board tr[data-contender="{contender}"]')
            expect(row).to_have_attribute("data-label", result["label"])
            expect(row.locator(".pill")).to_have_text(result["label"])


def test_verdicts_are_of_what_was_typed_last(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    type_in(page, BLAME)
    judged(page, len(CONTENDERS))
    asked = {json.loads(body)["inputs"] for body in sent if body}
    assert BLAME in asked
    assert len(asked) < len(BLAME) / 2, "nearly every key was asked about"
    expect(page.locator("#summary")).to_contain_text("say negative")


def test_bars_show_where_the_milliseconds_went(page: Page) -> None:
    measured(page)
    assert page.locator("#board .bar").count() == len(CONTENDERS)
    stages = ["parse", "tokenize", "queue", "batch", "forward", "respond"]
    assert page.locator("#stages li").all_inner_texts() == stages
    for row in page.locator("#board tr").all():
        forward, total = (
            float(row.locator(".number.right").nth(n).inner_text().replace(",", "")) for n in (0, 1)
        )
        whole = row.locator(".bar").bounding_box()
        part = row.locator('[data-stage="forward"]').bounding_box()
        assert whole is not None
        assert part is not None
        # Gaps between the parts, and parts that are never narrower than a pixel.
        assert part["width"] == pytest.approx(whole["width"] * forward / total, abs=12)


def test_steps_are_those_that_the_service_counts(page: Page, service: Service) -> None:
    text = page.get_by_label("Your text").input_value()
    for contender in CONTENDERS:
        model, _, schedule = contender.partition(", ")
        reply = post(service, inputs=text, model=model, schedule=schedule or "auto").json()
        lane = page.locator(f'.lane[data-contender="{contender}"]')
        expect(lane).to_have_attribute("data-depth", str(reply["timing"]["sequential_depth"]))
    expect(page.locator('.lane[data-contender="lstm"] .steps')).to_contain_text(
        re.compile(r"\d+ tokens . 2 layers")
    )


def test_path_between_two_words_is_what_the_cards_say(page: Page) -> None:
    page.get_by_role("button", name="The boy is happy").click()
    expect(page.locator("#path-sub")).to_have_text("From “boy” to “is”, 7 words on")
    found = {
        figure.locator("figcaption").inner_text().rpartition(". ")[2]: (
            figure.get_attribute("data-steps"),
            figure.locator("path").count(),
        )
        for figure in page.locator("#path figure").all()
    }
    # Steps, and the arcs drawn: a recurrence's first step reads the first word where it stands.
    assert found == {
        "lstm": ("8", 7),
        "mingru": ("3", 3),
        "cnn": ("3", 3),
        "transformer": ("1", 1),
    }
    page.locator("#path").get_by_role("button", name="happy.").click()
    expect(page.locator("#path-sub")).to_have_text("From “is” to “happy”, 1 word on")


def test_path_is_exact_at_every_distance(page: Page, service: Service) -> None:
    for card in get(service, "/v1/models").json()["models"]:
        told = page.evaluate(
            "async ([card, most]) => { const { way } = await import('/web/path.js');"
            " return Array.from({ length: most }, (_, at) => way(card, at + 1).number); }",
            [card, 60],
        )
        architecture = ARCHITECTURES[card["architecture"]]
        encoder = architecture.encoder(architecture.config())
        assert told == [encoder.path(distance) for distance in range(1, 61)], card["name"]


def test_words_that_no_state_reads_together_are_told(page: Page) -> None:
    page.get_by_label("Your text").fill(" ".join(f"word{n}" for n in range(30)))
    words = page.locator("#path").get_by_role("button")
    words.last.click()
    words.first.click()
    expect(page.locator("#path-sub")).to_contain_text("29 words on")
    expect(page.locator('#path [data-kind="never"]')).to_contain_text(
        "Never: after 9 layers a state has read no further than 21 words. cnn"
    )


def test_chart_gains_points_from_what_is_typed(page: Page) -> None:
    before = points(page)
    page.get_by_role("button", name="A short review").click()
    expect(page.locator("#gap-state")).to_contain_text("Live")
    eventually(lambda: points(page) >= before + len(CONTENDERS), 120)


def test_chart_gains_points_from_others_traffic(page: Page, service: Service) -> None:
    before = points(page)
    assert post(service, inputs="word " * 700, model="lstm").status_code == 200
    eventually(lambda: points(page) > before, 60)


def test_chart_reads_its_values(page: Page) -> None:
    over, readout = page.locator("#chart .u-over"), page.locator("#readout")
    over.hover()
    expect(readout).to_contain_text("tokens")
    expect(readout).to_contain_text("ms ·")
    page.locator("#chart").focus()
    page.keyboard.press("Home")
    expect(readout).to_contain_text("1-16 tokens")
    for contender in CONTENDERS:
        expect(readout).to_contain_text(contender)
    legend = page.locator("#legend").get_by_role("button", name="lstm")
    legend.click()
    expect(legend).to_have_attribute("aria-pressed", "false")


def test_baseline_is_the_readers_choice(page: Page, service: Service) -> None:
    page.get_by_role("combobox", name="Baseline").select_option("transformer")
    page.get_by_label("Ratio to the baseline").check()
    page.get_by_text("The same as a table").click()
    table = page.locator("#gap-table")
    expect(table.locator("caption")).to_contain_text("ratio to transformer")
    expect(table.locator("tr", has_text="transformer").locator("td").first).to_contain_text("1.00")
    gap = get(service, "/v1/gap?baseline=transformer").json()["forwards"]
    assert any(one["model"] == "lstm" and one["ratio"] for one in gap)


def test_samples_go_from_five_to_two_thousand_words(page: Page) -> None:
    buttons = page.locator("#samples button").all()
    lengths = [int(button.get_attribute("data-words") or 0) for button in buttons]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1] >= 2000) == (5, True)


def test_slider_repeats_the_text(page: Page) -> None:
    page.get_by_role("button", name="Five words").click()
    with page.expect_request(lambda request: (request.post_data or "").count("Dull") > 5):
        page.get_by_label("Repeat it to a length").fill("30")
    size = page.locator("#size").inner_text()
    assert size.startswith("repeated to ")
    assert int(size.split()[2]) > 30
    expect(page.get_by_label("Repeat it to a length")).to_have_attribute("aria-valuetext", size)
    expect(page.get_by_label("Your text")).to_have_value("Dull, and far too long.")


def test_empty_box_is_no_error(page: Page) -> None:
    page.get_by_label("Your text").fill("  ")
    expect(page.locator("#summary")).to_have_text("Nothing to judge yet.")
    expect(page.locator("#notice")).to_be_hidden()


def test_text_past_the_limit_is_told_kindly(browser: Browser, service: Service) -> None:
    with watched(browser, service.base_url, trouble=True) as page:
        page.goto(service.base_url)
        page.get_by_label("Your text").fill("word " * 20_000)
        expect(page.locator("#notice")).to_contain_text("This text can't be judged")
        page.get_by_label("Your text").fill(PRAISE)
        judged(page, len(CONTENDERS))
        expect(page.locator("#notice")).to_be_hidden()


def test_docs_show_every_route(browser: Browser, service: Service) -> None:
    paths = get(service, "/openapi.json").json()["paths"]
    with watched(browser, service.base_url) as page:
        page.goto(f"{service.base_url}/docs")
        expect(page.locator(".operation")).to_have_count(sum(map(len, paths.values())))
        shown = page.locator(".operation h2 code").all_inner_texts()
        assert set(shown) == set(paths)
        classify = page.locator("#post-v1-classify")
        for word in ("inputs", "long_input", "429", "busy"):
            expect(classify).to_contain_text(word)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One model, of a name that nobody knew, behind a key, that takes one request at a time."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "weights").mkdir()
    for name, source in (("wordpiece", "wordpiece"), ("eleventh", "lstm")):
        (folder / "weights" / name).symlink_to(ROOT / "weights" / source)
    settings = ("--weights", str(folder / "weights"), "--max-in-flight", "1")
    env = {"LOCKSTEP_API_KEYS": KEY, "LOCKSTEP_MAX_MODEL_SHARE": "1"}
    running = Service(*settings, log=folder / "log", env=env)
    with running:
        yield running


@pytest.fixture
def eleventh(browser: Browser, guarded: Service) -> Iterator[Page]:
    """The page of ``guarded``, once it has the key."""
    with watched(browser, guarded.base_url, trouble=True) as page:
        page.goto(guarded.base_url)
        page.get_by_label("This service asks for an API key").fill(KEY)
        page.get_by_role("button", name="Use it").click()
        judged(page, 1)
        yield page


@contextmanager
def occupied(service: Service) -> Iterator[None]:
    """While it lasts, the one request that may be in flight is: seconds of forwards."""
    body = json.dumps({"inputs": ["word " * 5000] * 32})
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT_SECONDS)
    with closing(connection):
        connection.request("POST", "/v1/classify", body, headers)
        while select.select([connection.sock], [], [], 1.0)[0]:
            with connection.getresponse() as response:  # refused: the page's own was in flight
                assert response.status == HTTPStatus.TOO_MANY_REQUESTS
                response.read()
            connection.request("POST", "/v1/classify", body, headers)
        in_flight = 'lockstep_requests_in_flight{model="eleventh"}'
        eventually(lambda: sample(service, in_flight) == 1)
        yield  # and then the client goes away, and its work is dropped


def test_model_that_nobody_knew_is_on_the_page(eleventh: Page) -> None:
    expect(eleventh.locator("#board th")).to_contain_text(["eleventh"])
    expect(eleventh.locator("#legend button")).to_have_text(["eleventh"])
    expect(eleventh.get_by_label("This service asks for an API key")).to_be_hidden()


def test_busy_service_is_told_kindly_and_waited_for(eleventh: Page, guarded: Service) -> None:
    with occupied(guarded):
        type_in(eleventh, PRAISE)
        expect(eleventh.locator("#notice")).to_contain_text("The service is busy. Trying again in")
    judged(eleventh, 1)
    expect(eleventh.locator("#notice")).to_be_hidden()


def test_service_that_is_gone_is_told_kindly_and_found_again(
    eleventh: Page, guarded: Service
) -> None:
    guarded.stop()
    try:
        type_in(eleventh, BLAME)
        expect(eleventh.locator("#notice")).to_contain_text("The service doesn't answer.")
        expect(eleventh.locator("#board .pill")).to_have_count(1)  # what was there stays
        expect(eleventh.locator("#gap-state")).to_contain_text("Not live just now")
    finally:
        guarded.start()
    judged(eleventh, 1)
    expect(eleventh.locator("#notice")).to_be_hidden()
    expect(eleventh.locator("#gap-state")).to_contain_text("Live")
