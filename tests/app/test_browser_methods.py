"""The Methods page in a real browser: its picture follows the page into the dark by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from browsing import ROOT, free_port, person, served, wait_for
from playwright.sync_api import Browser, Page, expect

from app.text.formulas import ORIGIN
from app.theme import INK
from kdcore.spec.catalogue import catalogue

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


@pytest.fixture(scope="module")
def gallery(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """All texts and equations of the catalogue on one page, shown as the app shows them."""
    script = tmp_path_factory.mktemp("gallery") / "gallery.py"
    script.write_text(
        "import streamlit as st\n"
        "from app.text import formulas\n"
        "from kdcore.spec.catalogue import catalogue\n"
        "for found in catalogue().values():\n"
        "    for one in found.values():\n"
        "        st.markdown('\\n\\n'.join(formulas.markdown(one.get(key, '')) for key in ('doc', *formulas.ORIGIN)))\n"
        "        st.markdown(f\"${one['equation']}$\" if 'equation' in one else '')\n"
        "st.markdown('The end of all.')\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    quiet = ["--server.headless", "true", "--browser.gatherUsageStats", "false"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command + quiet, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            with person(chromium, f"http://127.0.0.1:{port}") as opened:
                opened.goto(f"http://127.0.0.1:{port}")
                opened.get_by_text("The end of all.").wait_for()
                yield opened
        finally:
            server.terminate()


def test_every_formula_of_the_catalogue_is_typeset(gallery: Page) -> None:
    texts = [one.get(key, "") for found in catalogue().values() for one in found.values() for key in ("doc", *ORIGIN)]
    formulas = sum(text.count("$") // 2 for text in texts) + len(catalogue()["method"])
    expect(gallery.locator(".katex")).to_have_count(formulas)
    assert gallery.locator(".katex-error").count() == 0
