"""Points of one's own in a real browser: named by their file, in the page's theme, and short where they are shared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app import theme

pytestmark = pytest.mark.browser
TABLE = "x,y,kind\n" + "".join(f"{0.01 * k},{k % 7},{('cat', 'ant')[k % 2]}\n" for k in range(70))
DRAWN = """([canvas, colour]) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const meant = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  for (let at = 0; at < data.length; at += 4) if (meant.every((part, k) => data[at + k] === part)) return true;
  return false;
}"""


def test_the_canvas_follows_the_theme_of_the_page(page: Page) -> None:
    page.goto("/?data=points")
    canvas = page.locator(".points canvas").element_handle()
    for look in ("light", "dark", "light"):
        page.emulate_media(color_scheme=look)
        for colour in theme.classes(2, look):
            page.wait_for_function(DRAWN, arg=[canvas, colour])
    expect(page.get_by_role("button", name="Class 1")).to_be_visible()


def test_words_of_a_file_are_the_names_of_the_classes_and_a_long_link_scrolls(page: Page) -> None:
    page.goto("/?data=points&schedule.steps=20&teaching.steps=20")
    page.locator("input[type=file]").set_input_files(
        {"name": "points.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
    )
    expect(page.get_by_text("Classes by number: 0 is ant, 1 is cat.")).to_be_visible()
    bar = page.get_by_role("toolbar", name="Class to draw")
    expect(bar.get_by_role("button", name="cat")).to_be_visible()
    page.get_by_test_id("stSidebar").get_by_role("button", name="Run").click()
    expect(page.get_by_text("The student is correct on")).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("70 points in 2 classes"))).to_be_visible()
    page.get_by_role("button", name="Share").click()
    link = page.get_by_test_id("stCode").first
    expect(link).to_contain_text("data.points")
    assert link.evaluate("node => node.getBoundingClientRect().height") < 200
    link.hover()
    expect(page.get_by_role("button", name="Copy to clipboard").first).to_be_in_viewport()
    expect(page.get_by_role("button", name="Download settings")).to_be_in_viewport()
