"""The pages in a real browser, over the real server: links, the way back, drawn points, two people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import drag_over, person
from playwright.sync_api import Browser, Locator, Page, expect

from kdcore.jobs.exchange import load

DEMOS = Path(__file__).parents[2] / "assets" / "demo"
pytestmark = pytest.mark.browser


def ready(page: Page, path: str) -> None:
    """Open a page and wait until its form stands."""
    page.goto(path)
    expect(seed(page)).to_be_visible()


def seed(page: Page) -> Locator:
    """The form's seed."""
    return page.locator(".st-key-form-seed input")


def type_seed(page: Page, value: int) -> None:
    seed(page).fill(str(value))
    seed(page).press("Enter")
    expect(page).to_have_url(re.compile(rf"[?&]seed={value}(&|$)"))


def test_the_url_follows_the_form_and_the_form_follows_the_way_back(page: Page) -> None:
    ready(page, "/")
    type_seed(page, 5)
    type_seed(page, 6)
    page.go_back()
    expect(seed(page)).to_have_value("5")
    page.go_forward()
    expect(seed(page)).to_have_value("6")
    page.reload()
    expect(seed(page)).to_have_value("6")


def test_a_replay_behind_a_wall_keeps_its_verdict_for_its_end(page: Page) -> None:
    page.goto(f"/blackbox?run={load(DEMOS / 'mekd-soft').id}&at=0")
    verdict = page.locator(".st-key-verdict")
    expect(verdict.get_by_text("What was learned")).to_be_attached()
    expect(page.locator("html[data-kd-replay]")).to_be_attached()
    expect(verdict.locator("*:visible")).to_have_count(0)
    page.goto(f"/blackbox?run={load(DEMOS / 'mekd-soft').id}")
    expect(verdict.get_by_text("What was learned")).to_be_visible()


def test_a_link_says_where_a_replay_was_halted_but_not_what_it_passes(page: Page) -> None:
    ready(page, "/")
    scrubber = page.get_by_role("slider", name="Recorded frames")
    expect(scrubber).to_have_attribute("aria-valuetext", re.compile(r"^step \d+$"))  # it plays by itself
    page.locator(".kd-heat input").first.fill("20")
    expect(page).to_have_url(re.compile("temperature="))
    assert "at=" not in page.url
    page.get_by_role("button", name="Pause the replay").click()
    expect(page).to_have_url(re.compile(r"[?&]at=\d+"))
    halted = page.url
    step = re.compile(rf"^step {halted.rpartition('at=')[2]}$")
    expect(scrubber).to_have_attribute("aria-valuetext", step)
    expect(page.get_by_text("The student is correct on")).to_be_hidden()  # until the replay is there
    page.get_by_role("button", name="Play the recorded frames").click()
    expect(scrubber).not_to_have_attribute("aria-valuetext", step)
    page.get_by_role("link", name="Library", exact=True).click()
    expect(page.get_by_role("heading", name="Library", exact=True)).to_be_visible()
    page.get_by_role("link", name="Lab", exact=True).first.click()
    expect(scrubber).to_have_attribute("aria-valuetext", step)
    expect(page).to_have_url(halted)


def test_other_pages_do_not_cost_the_form_its_settings(page: Page) -> None:
    ready(page, "/?seed=7")
    for name, heading in (("Methods", "Knowledge distillation"), ("Runs", "Runs"), ("Library", "Library")):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        assert "seed" not in page.url
        page.get_by_role("link", name="Lab", exact=True).first.click()
        expect(seed(page)).to_have_value("7")
        expect(page).to_have_url(re.compile(r"\?seed=7$"))


def test_a_page_without_a_sidebar_shows_none_of_the_last_page(page: Page) -> None:
    """Streamlit leaves an empty one in about half of these ways, by chance."""
    ready(page, "/")
    for full, bare in (("Methods", "Runs"), ("Black box", "Library"), ("Methods", "Inspector"), ("Lab", "Runs")):
        page.get_by_role("link", name=full, exact=True).first.click()
        expect(page.locator(".stSidebar .stElementContainer").first).to_be_visible()
        page.wait_for_timeout(1000)
        page.get_by_role("link", name=bare, exact=True).first.click()
        expect(page).to_have_url(re.compile(bare.lower()))
        expect(page.locator(".stSidebar")).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 900})
    page.get_by_test_id("stExpandSidebarButton").click()
    page.locator(".stSidebar").get_by_role("link", name="Library").click()  # there the way to the pages stands in it
    expect(page).to_have_url(re.compile("library"))


def test_a_row_of_the_library_opens_its_method(page: Page) -> None:
    page.goto("/library?q=fitnets")
    page.get_by_role("link", name="in the Lab").first.click()
    expect(page).to_have_url(re.compile(r"/\?method=fitnet$"))
    expect(page.get_by_label("Method", exact=True)).to_have_value("FitNet · Features")


def test_points_are_drawn_with_mouse_and_keys_and_live_in_the_link(page: Page) -> None:
    ready(page, "/?data=points")
    count = page.locator(".points output")
    expect(count).to_have_text("80 points")
    canvas = page.locator(".points canvas")
    canvas.click(position={"x": 40, "y": 40})
    expect(count).to_have_text("81 points")
    expect(page).to_have_url(re.compile("form=[0-9a-f]{16}"))
    first = page.url
    canvas.focus()
    canvas.press("2")
    canvas.press("ArrowUp")
    canvas.press(" ")
    expect(count).to_have_text("82 points")
    expect(page).not_to_have_url(first)
    page.reload()
    expect(count).to_have_text("82 points")


def test_a_run_is_started_watched_and_opened_by_another_person(page: Page, chromium: Browser, address: str) -> None:
    ready(page, "/?data=moons&schedule.steps=400&teaching.steps=300")
    page.get_by_test_id("stSidebar").get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("run="))
    expect(page.get_by_text("The student is correct on")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    with person(chromium, address) as other:
        other.goto(page.url)
        expect(other.get_by_text("The student is correct on")).to_be_visible()
        expect(other.get_by_text("Read-only: this run belongs to another user")).to_be_visible()
        expect(other.get_by_role("button", name="Delete")).to_have_count(0)


FRAMES = """() => {
  window.frames_ = [];
  const look = () => {
    const said = (what) => document.querySelector(what)?.textContent ?? "";
    window.frames_.push([said(".stMain h3"), said(".kd-pill") + said(".kd-steps") + said(".kd-readouts")]);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_no_title_of_a_new_run_stands_over_the_numbers_of_the_one_before(page: Page) -> None:
    ready(page, f"/?run={load(DEMOS / 'spirals').id}&data=moons&schedule.steps=150&teaching.steps=150")
    expect(page.locator(".kd-readouts")).to_contain_text(re.compile(r"Student[0-9.]+ %"))
    page.evaluate(FRAMES)
    title, told = page.evaluate("window.frames_[0]")
    page.get_by_test_id("stSidebar").get_by_role("button", name="Run").click()
    expect(page.locator(".stMain h3").first).not_to_have_text(title)
    expect(page.locator(".kd-pill")).to_have_text(re.compile("Waiting|Training|Done"))
    seen = page.evaluate("window.frames_")
    assert [one for one in seen if one[0] not in (title, "") and one[1] == told] == []


def test_a_methods_curve_follows_its_knob_and_leads_to_the_lab(page: Page) -> None:
    page.goto("/methods?method=dkd&example.gap=-2.0")
    curve = "document.querySelector('.js-plotly-plot').data.find(trace => trace.name === 'tckd').y[0]"
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    before = page.evaluate(curve)
    knob = page.locator(".st-key-form-method-alpha input")
    knob.fill("2")
    knob.press("Enter")
    expect(page).to_have_url(re.compile(r"method\.alpha=2\.0"))
    page.wait_for_function(f"Math.abs({curve} - {2 * before}) < 1e-3")
    page.reload()
    expect(knob).to_have_value("2")
    page.get_by_role("link", name="Try it in the Lab").click()
    expect(page.get_by_label("Method", exact=True)).to_have_value("Decoupled KD · Logits")
    expect(page).to_have_url(re.compile(r"/\?(?=.*method=dkd)(?=.*method\.alpha=2\.0)"))


@pytest.mark.parametrize("path", ["/", "/methods", "/methods?method=fitnet", "/runs", "/library"])
def test_no_page_is_wider_than_the_screen(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_attached()
    main = page.get_by_test_id("stMain").element_handle()
    for width in (390, 1280, 1920):  # once the page has followed its window: a chart takes its new width a moment later
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("node => node.scrollWidth <= node.clientWidth", arg=main)
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)


CARD = ".kd-card[data-panel={}]"
PLOT = "card => document.querySelector(card).querySelector('.kd-plot')"


def pictures(page: Page, name: str, more_than: int) -> int:
    """How often a panel was drawn, once that is more than so many times."""
    arguments = [CARD.format(name), more_than]
    page.wait_for_function("([c, n]) => Number(document.querySelector(c)?.dataset.updates) > n", arg=arguments)
    return int(page.locator(CARD.format(name)).get_attribute("data-updates") or 0)


def zoom(page: Page, name: str) -> list[float]:
    """The range of the step axis on show."""
    found: list[float] = page.evaluate(f"card => ({PLOT})(card).layout.xaxis.range", CARD.format(name))
    return found


def curves(page: Page, name: str) -> list[object]:
    """What a panel's curves show."""
    found: list[object] = page.evaluate(
        f"card => ({PLOT})(card).data.map(curve => [curve.name, curve.y])", CARD.format(name)
    )
    return found


def steps_done(page: Page) -> int:
    found = re.search(r"step ([\d,\u202f ]+) of", page.locator(".kd-steps").inner_text())
    assert found
    return int(re.sub(r"\D", "", found[1]))


def test_one_run_from_the_click_to_another_persons_browser(page: Page, chromium: Browser, address: str) -> None:
    ready(page, "/?data=moons&schedule.steps=100000&teaching.steps=200&seed=11")
    page.get_by_test_id("stSidebar").get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("run="))
    expect(page.locator(".kd-pill").filter(has_text="Training")).to_be_visible()
    expect(page.locator(".kd-pill")).to_have_count(1)  # the recorded run's bar has gone
    expect(page.locator(".kd-steps")).to_contain_text(re.compile(r"of 100\D?000"))  # the teacher's own run is over
    page.locator(CARD.format("loss")).scroll_into_view_if_needed()
    drawn = pictures(page, "loss", 2)

    drag_over(page.locator(f"{CARD.format('loss')} .nsewdrag").first)
    page.wait_for_function(f"card => !({PLOT})(card).layout.xaxis.autorange", arg=CARD.format("loss"))
    zoomed = zoom(page, "loss")
    for _ in range(10):
        drawn = pictures(page, "loss", drawn)
    assert zoom(page, "loss") == zoomed

    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".kd-pill")).to_have_text("Paused")
    page.wait_for_timeout(1000)  # what was said before the pause arrives
    before = steps_done(page)
    page.get_by_role("button", name="One step").click()
    expect(page.locator(".kd-steps")).to_contain_text(f"{before + 1:,}".replace(",", ""))
    page.locator(CARD.format("logits")).scroll_into_view_if_needed()
    page.locator(f"{CARD.format('logits')} input[type=range]").fill("23")
    expect(page).to_have_url(re.compile("temperature=9"))
    assert zoom(page, "loss") == zoomed

    page.get_by_role("button", name="Stop this run").click()
    expect(page.locator(".kd-pill")).to_have_text("Stopped")
    page.locator(CARD.format("loss")).scroll_into_view_if_needed()
    with person(chromium, address) as other:
        other.goto(page.url)
        expect(other.locator(".kd-pill")).to_have_text("Stopped")
        other.locator(CARD.format("loss")).scroll_into_view_if_needed()
        pictures(other, "loss", 0)
        other.locator(CARD.format("logits")).scroll_into_view_if_needed()
        pictures(other, "logits", 0)
        expect(other.locator(f"{CARD.format('logits')} output")).to_have_text("9.0")
        assert steps_done(other) == steps_done(page)
        for name in ("loss", "logits"):
            assert curves(other, name) == curves(page, name)


def test_an_order_of_the_black_box_lives_in_its_link(page: Page) -> None:
    page.goto("/blackbox?preset=paper&budget=90000")
    expect(page.get_by_label("Distillation preset")).to_have_value("MEKD as in the paper")
    page.get_by_test_id("stSidebar").locator("label").filter(has_text="Local images may be sent").click()
    expect(page).to_have_url(re.compile("local=true"))
    page.reload()
    budget = page.locator(".st-key-form-budget input")
    expect(budget).to_have_value("90000")
    budget.fill("100000")
    budget.press("Enter")
    expect(page.get_by_text("At most 100,000 queries")).to_be_visible()
    expect(page).to_have_url(re.compile("budget=100000"))


# Before any script of the page: every height that the bar's place has on the page.
HEIGHTS = """(() => {
  window.heights = new Set();
  const look = () => {
    const place = document.querySelector(".st-key-transport");
    if (place) heights.add(Math.round(place.getBoundingClientRect().height));
    requestAnimationFrame(look);
  };
  look();
})()"""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_bar_of_a_run_keeps_its_room_from_its_place_to_the_first_word(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(reduced_motion="reduce")
    page.add_init_script(HEIGHTS)
    page.goto(f"/?run={load(DEMOS / 'mekd-soft').id}")
    page.wait_for_selector(".kd-transport[data-state=done]")
    found = page.evaluate("[...heights]")
    assert max(found) - min(found) <= 16, found
