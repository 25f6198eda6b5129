"""The Methods page in a real browser: its picture follows the page into the dark by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import person, served
from playwright.sync_api import Browser, Page

from app.theme import INK

pytestmark = pytest.mark.browser
WRITTEN = "ink => document.querySelector('.js-plotly-plot')?.layout?.font?.color === ink"


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
