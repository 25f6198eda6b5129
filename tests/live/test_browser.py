"""The live view in a real browser, over a run that tells and shows while the test wants it to."""

from __future__ import annotations

import json
import re
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from browsing import PATIENCE_MS, drag_over, served
from playwright.sync_api import Browser, BrowserContext, Page, expect
from stage import OWNER, Stage

from app.live.routes import SCRIPTS
from app.live.tokens import COOKIE
from app.panels import View
from kdcore.jobs.store import Store

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent
SOCKETS = (  # keeps a page's sockets at hand; one that is `gone` names another server
    "const Real = WebSocket; window.sockets = [];"
    "window.WebSocket = class extends Real { constructor(...a) { super(...a); window.sockets.push(this); }"
    ' send(data) { super.send(window.gone ? data.replace(/"server":"\\w+"/, \'"server":"gone"\') : data); } };'
)
CUT = "window.sockets.filter((s) => s.url.endsWith('/api/live')).forEach((s) => s.close())"


@pytest.fixture(scope="module")
def lab(lab_home: Path) -> Iterator[str]:
    """The address of a server with the small lab."""
    with served(lab_home, "small_server:app", (HERE,)) as address:
        yield address


@pytest.fixture(scope="module")
def store(lab_home: Path) -> Iterator[Store]:
    """The store that the server shows."""
    with closing(Store(lab_home)) as opened:
        yield opened


@pytest.fixture
def stage(store: Store, request: pytest.FixtureRequest) -> Stage:
    """A run of this test's own."""
    return Stage(store, seed=zlib.crc32(request.node.name.encode()) % 2**31)


@pytest.fixture
def context(lab: str, chromium: Browser) -> Iterator[BrowserContext]:
    """A browser whose name is the owner's."""
    with chromium.new_context(base_url=lab, viewport={"width": 1280, "height": 900}) as opened:
        opened.add_cookies([{"name": COOKIE, "value": OWNER, "url": lab}])
        opened.set_default_timeout(PATIENCE_MS)
        yield opened


def health(address: str) -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"{address}/api/health", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {"status": "not yet"}


def until(true: object) -> None:
    end = time.monotonic() + PATIENCE_MS / 1000
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def card(name: str) -> str:
    return f'.kd-card[data-panel="{name}"]'


def updates(page: Page, name: str) -> int:
    return int(page.get_attribute(card(name), "data-updates") or 0)


def drawn(page: Page, name: str, more_than: int = 0) -> None:
    page.wait_for_function(
        "([card, n]) => Number(document.querySelector(card)?.dataset.updates) > n", arg=[card(name), more_than]
    )


def axis(page: Page, name: str) -> list[float]:
    found: list[float] = page.evaluate(
        "card => document.querySelector(card).querySelector('.kd-plot').layout.xaxis.range", card(name)
    )
    return found


def test_zoom_and_node_outlive_ticks_and_reruns(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    for step in range(1, 60):
        stage.tell(step)
    page = context.new_page()
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url) if "127.0.0.1" not in request.url else None)
    page.goto(f"/?run={stage.id}&panels=loss,accuracy")
    drawn(page, "loss")
    page.evaluate("card => (window.node = document.querySelector(card).querySelector('.kd-plot'))", card("loss"))
    drag_over(page.locator(f"{card('loss')} .nsewdrag").first)
    page.wait_for_function("!window.node.layout.xaxis.autorange")
    zoomed = axis(page, "loss")
    for step in range(60, 70):
        before = updates(page, "loss")
        stage.tell(step)
        drawn(page, "loss", before)
    assert axis(page, "loss") == zoomed
    expect(page.get_by_text("Rerun 1")).to_be_visible()
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_text("Rerun 2")).to_be_visible()
    before = updates(page, "loss")
    stage.tell(70)
    drawn(page, "loss", before)
    assert axis(page, "loss") == zoomed
    same = "card => window.node === document.querySelector(card).querySelector('.kd-plot')"
    assert page.evaluate(same, card("loss"))
    assert [url for url in outside if not url.startswith(("blob:", "data:"))] == []


def test_another_run_takes_the_place_of_the_first(context: BrowserContext, store: Store, stage: Stage) -> None:
    stage.begin()
    stage.tell(5)
    other = Stage(store, seed=7)
    other.begin()
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss,accuracy")
    drawn(page, "loss")
    drawn(page, "accuracy")
    before = updates(page, "loss"), updates(page, "accuracy")
    page.get_by_label("Run", exact=True).fill(other.id)
    page.keyboard.press("Enter")
    other.tell(33)
    drawn(page, "loss", before[0])
    drawn(page, "accuracy", before[1])
    expect(page.locator(".kd-steps")).to_contain_text("step 33 of 2000")
    assert other.id in str(page.locator(f"{card('loss')} a").get_attribute("href"))


def test_the_owner_controls_from_the_bar_and_by_keys(context: BrowserContext, store: Store, stage: Stage) -> None:
    stage.begin()
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".kd-pill")).to_have_text("Paused")
    page.keyboard.press("ArrowRight")
    page.get_by_label("Number of steps").fill("25")
    page.get_by_role("button", name="steps", exact=True).click()
    page.get_by_label("Training speed").select_option("10 steps/s")
    setting = page.get_by_role("button", name="Set Learning rate")
    expect(setting).to_have_attribute("aria-disabled", "true")  # until there is another value to set
    page.get_by_role("spinbutton", name="Learning rate").fill("0.02")
    setting.click()
    expect(setting).to_have_attribute("aria-disabled", "true")
    page.locator("h3").first.click()
    page.keyboard.press("Space")
    expect(page.locator(".kd-pill")).to_have_text("Training")
    wished = [
        ("pause", None),
        ("step", 1),
        ("step", 25),
        ("speed", 10),
        ("set", {"schedule.lr": 0.02}),
        ("resume", None),
    ]
    found: list[object] = []
    until(lambda: found.extend(tuple(wish) for wish in store.take_commands(stage.id)) or len(found) >= len(wished))
    assert found == wished


def test_a_stranger_sees_everything_and_is_told_why_not_to_touch(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    stage.tell(5)
    context.clear_cookies()
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss")
    drawn(page, "loss")
    pause = page.get_by_role("button", name="Pause", exact=True)
    expect(pause).to_have_attribute("aria-disabled", "true")
    pause.click(force=True)
    expect(page.get_by_role("alert")).to_have_text("Read-only: only the browser that started this run can control it.")


def test_temperature_holds_everywhere_at_once_and_reaches_the_link(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    stage.record_frame(10)
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=logits,tug")
    drawn(page, "logits")
    drawn(page, "tug")
    before = updates(page, "logits"), updates(page, "tug")
    slider = page.locator(f"{card('logits')} input[type=range]")
    slider.press("ArrowRight")  # a key is a step that is seen
    expect(page.locator(f"{card('logits')} output")).to_have_text("4.5")
    slider.fill("23")
    expect(slider).to_have_attribute("aria-valuetext", "9")
    drawn(page, "logits", before[0])
    drawn(page, "tug", before[1])
    for name in ("logits", "tug"):
        expect(page.locator(f"{card(name)} output")).to_have_text("9.0")
    page.wait_for_url("**temperature=9**")
    page.reload()
    drawn(page, "logits")
    expect(page.locator(f"{card('tug')} output")).to_have_text("9.0")


def test_a_click_into_the_field_pins_the_nearest_sample(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    stage.record_frame(10)
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=field,samples")
    drawn(page, "field")
    canvas = page.locator(".kd-plane canvas").nth(1)
    canvas.hover(position={"x": 40, "y": 50})
    expect(page.locator(".kd-readout")).to_contain_text("student")
    canvas.click(position={"x": 40, "y": 50})
    box = canvas.bounding_box()
    assert box
    points = stage.points
    wanted = [-3 + 6 * 40 / box["width"], 3 - 6 * 50 / box["height"]]
    nearest = int(((points - wanted) ** 2).sum(1).argmin())
    page.wait_for_url(f"**sample={nearest}**")
    page.locator(card("samples")).scroll_into_view_if_needed()
    expect(page.locator('.kd-tile[aria-current="true"]')).to_have_attribute(
        "title", f"Sample {nearest}: pin it in every panel"
    )


def test_recorded_frames_are_played_to_the_end(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    for step in (10, 20, 30):
        stage.tell(step)
        stage.record_frame(step)
    stage.finish(30)
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=tug&at=10")
    expect(page.locator(".kd-steps")).to_contain_text("step 10 of 2000")
    page.get_by_label("Replay speed").select_option("4×")
    page.get_by_role("button", name="Play the recorded frames").click()
    expect(page.locator(".kd-steps")).to_contain_text("step 30 of 2000")
    expect(page.get_by_role("slider", name="Recorded frames")).to_have_attribute("aria-valuetext", "the newest")


def test_hidden_cards_and_left_pages_cost_nothing(context: BrowserContext, stage: Stage, lab: str) -> None:
    stage.begin()
    page = context.new_page()
    page.set_viewport_size({"width": 700, "height": 600})
    page.goto(f"/?run={stage.id}&panels=loss,accuracy,reliability,confusion,tug,fidelity")
    drawn(page, "loss")
    assert updates(page, "fidelity") == 0  # far below
    page.locator(card("fidelity")).scroll_into_view_if_needed()
    drawn(page, "fidelity")
    seen = updates(page, "loss")
    stage.tell(10)
    stage.record_frame(10)
    drawn(page, "fidelity", 1)
    assert updates(page, "loss") == seen
    assert health(lab)["watched"] == 1
    page.goto("/?gone=1")
    until(lambda: health(lab)["watched"] == 0)


def test_the_theme_of_the_page_is_the_theme_of_the_panels(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    stage.tell(5)
    page = context.new_page()
    page.emulate_media(color_scheme="dark")
    page.goto(f"/?run={stage.id}&panels=loss")
    drawn(page, "loss")
    expect(page.locator(".kd-panels")).to_have_attribute("data-theme", "dark")
    ink = "document.querySelector('.kd-plot').layout.font.color"
    assert page.evaluate(ink) == "#F2F3F7"
    assert (
        page.locator(".kd-card").first.evaluate("card => getComputedStyle(card).backgroundColor") == "rgb(23, 26, 34)"
    )


def test_a_page_drawn_in_another_theme_is_drawn_again_once(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss")
    expect(page.get_by_text("Rerun 1")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    expect(page.get_by_text("Rerun 2")).to_be_visible()  # this page's script draws for light always
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_text("Rerun 3")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.get_by_text("Rerun 3")).to_be_visible()


def test_a_call_that_was_overtaken_leaves_one_component_whenever_it_ends(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    kept = page.evaluate(
        """async ([script, view]) => {
            const { mount } = await import(script);
            const place = document.body.appendChild(document.createElement("div"));
            const data = { kind: "panels", run: "", theme: "light", colours: {}, panels: [], view };
            const call = () => mount({ data, parentElement: place, setTriggerValue() {} });
            call()(); // ended before the call that overtook it came
            const second = call();
            const shown = place.firstChild;
            const third = call();
            second(); // ended after
            const kept = [place.childElementCount, place.firstChild === shown];
            third();
            return [...kept, place.childElementCount];
        }""",
        [f"{SCRIPTS}/component.js", View().model_dump(exclude={"theme"})],
    )
    assert kept == [1, True, 0]


def test_a_page_of_a_server_that_is_gone_loads_itself_anew(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    page = context.new_page()
    page.add_init_script(SOCKETS)
    page.goto(f"/?run={stage.id}&panels=loss")
    stage.tell(5)
    drawn(page, "loss")
    page.evaluate(f"window.gone = true; {CUT}")
    page.wait_for_function("!window.gone")
    drawn(page, "loss")


def test_figures_are_sent_nowhere(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    stage.tell(5)
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss")
    drawn(page, "loss")
    assert page.evaluate("document.querySelector('.kd-plot')._context.showSendToCloud") is False
    bar, hovers = page.evaluate(
        "[document.querySelector('.kd-plot')._context.displayModeBar, !matchMedia('(hover: none)').matches]"
    )
    assert bar == (hovers and "hover")


def test_a_lost_connection_is_said_and_comes_back(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    page = context.new_page()
    page.add_init_script(SOCKETS)
    page.goto(f"/?run={stage.id}&panels=loss")
    stage.tell(5)
    drawn(page, "loss")
    before = updates(page, "loss")
    page.evaluate(CUT)
    stage.tell(6)
    drawn(page, "loss", before)
    expect(page.locator(".kd-link").first).to_be_hidden()


def test_panels_that_not_everybody_needs_are_folded_away(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    stage.evaluate(0, 0.5)
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss,kl_parts")
    button = page.locator(".kd-more")
    expect(button).to_have_text("1 more: KL divergence from the teacher")
    expect(page.locator(card("kl_parts"))).to_be_hidden()
    assert updates(page, "kl_parts") == 0
    button.click()
    drawn(page, "kl_parts")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(page.locator(card("kl_parts"))).to_be_hidden()


def test_a_panel_with_nothing_to_show_offers_no_file_until_it_has(context: BrowserContext, stage: Stage) -> None:
    stage.begin()
    page = context.new_page()
    page.goto(f"/?run={stage.id}&panels=loss")
    loss = page.locator(card("loss"))
    files = loss.locator("[aria-label*='Download the']")
    reason = loss.locator(".kd-lacks")
    expect(loss).to_have_attribute("data-empty", "lacks")
    for tool in files.all():
        expect(tool).to_have_attribute("title", reason.inner_text())
        expect(tool).not_to_have_attribute("href", re.compile("."))
    stage.tell(1)
    expect(loss).not_to_have_attribute("data-empty", "lacks")
    expect(files.last).to_have_attribute("href", re.compile("loss.csv"))
    with page.expect_download():
        files.first.click()
