"""The Methods page in a real browser: its picture follows the page into the dark by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import person, served
from playwright.sync_api import Browser, Page, expect

from app.theme import INK

pytestmark = pytest.mark.browser
WRITTEN = "ink => document.querySelector('.js-plotly-plot')?.layout?.font?.color === ink"
FITS = """() => {
  const [plot, svg] = [document.querySelector(".kd-chart > div"), document.querySelector(".kd-chart .main-svg")];
  return plot.clientWidth === svg?.clientWidth && plot.clientHeight === svg.clientHeight;
}"""


@pytest.fixture(scope="module")
def page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served(tmp_path_factory.mktemp("home")) as address, person(chromium, address) as opened:
        opened.goto(f"{address}/methods?method=kd")
        yield opened


def test_the_picture_follows_the_theme_of_the_page(page: Page) -> None:
    page.wait_for_function(WRITTEN, arg=INK["light"])
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(WRITTEN, arg=INK[theme])


def test_an_equation_too_wide_for_its_place_is_reached_by_the_keyboard(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_selector(".katex-display")
    page.add_style_tag(content=".katex-display { width: 5rem; } .katex-display > .katex { white-space: nowrap; }")
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function("[...document.querySelectorAll('.katex-display')].some((one) => one.tabIndex === 0)")


def test_a_chart_follows_its_room_and_fills_the_screen(page: Page) -> None:
    chart = page.locator(".kd-chart")
    for width in (1280, 600):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(FITS)
    height = chart.evaluate("one => one.clientHeight")
    chart.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.matches('.kd-chart')")
    page.wait_for_function("height => document.querySelector('.kd-chart').clientHeight > height", arg=height)
    page.wait_for_function(FITS)
    page.evaluate("document.exitFullscreen()")
    page.wait_for_function("height => document.querySelector('.kd-chart').clientHeight === height", arg=height)
    page.wait_for_function(FITS)


def test_source_comes_once_it_is_unfolded_and_the_page_loads_one_plotly(page: Page) -> None:
    assert page.locator("[data-testid=stCode]").count() == 0
    page.get_by_text("Source code: kdcore/methods/kd.py").click()
    expect(page.locator("[data-testid=stCode]")).to_contain_text("class KD(Method)")
    loaded = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert [name.rpartition("/")[2] for name in loaded if "plotly" in name.lower()] == ["plotly.min.js"]
