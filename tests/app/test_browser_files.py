"""What panels give as files, in a real browser: every chart, whether or not it is on screen."""

from __future__ import annotations

import csv
import struct
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.text.consent import ASKED, UNASKED
from kdcore.jobs.exchange import load

DEMOS = Path(__file__).parents[2] / "assets" / "demo"
pytestmark = pytest.mark.browser
SEEN = 300  # pixels of the window, so that most cards lie far below it


def file_of(page: Page, tool: Locator) -> Path:
    """What a press gives, without bringing the tool on screen first."""
    with page.expect_download() as given:
        tool.evaluate("tool => tool.click()")
    return given.value.path()


def size(picture: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:])
    return width, height


def _guarded(page: Page) -> None:
    """Pictures of rows behind a wall are given once that is allowed, others at once."""
    tools = {
        name: page.locator(f".kd-card[data-panel='{name}']").get_by_role("button", name="Download the figure")
        for name in ("made", "inversions", "coverage")
    }
    for name in ("made", "inversions"):
        expect(tools[name]).to_have_attribute("title", UNASKED)
        expect(tools[name]).to_have_attribute("aria-disabled", "true")
    given: list[object] = []
    page.on("download", lambda download: given.append(download))
    tools["made"].evaluate("tool => tool.click()")
    assert min(size(file_of(page, tools["coverage"]))) > 100
    assert len(given) == 1, "the guarded one gave nothing"
    page.get_by_text(ASKED).click()
    for name in ("made", "inversions"):
        expect(tools[name]).to_have_attribute("aria-disabled", "false")


@pytest.mark.parametrize("path", ["/", "/blackbox"])
def test_every_panel_gives_its_picture_and_its_numbers(page: Page, path: str) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Error" in said.text else None)
    page.set_viewport_size({"width": 1280, "height": SEEN})
    page.emulate_media(reduced_motion="reduce")  # a replay would pass steps at which some panels have nothing yet
    page.goto(path)
    cards = page.locator(".kd-card")
    expect(cards.first).to_be_attached()
    if path == "/blackbox":
        _guarded(page)
    page.locator(".kd-more").first.evaluate("more => more.hidden || more.click()")
    names = [card.get_attribute("data-panel") for card in cards.all()]
    waiting = page.locator(".kd-card[data-empty=waits]")
    assert waiting.count() > len(names) / 2  # nobody has seen them, so nothing was drawn
    for name in names:
        card = page.locator(f".kd-card[data-panel='{name}']")
        for picture in card.get_by_role("button", name="Download the figure").all():
            width, height = size(file_of(page, picture))
            assert min(width, height) > 100, name
        rows = list(csv.reader(file_of(page, card.locator("a.kd-tool")).read_text().splitlines()))
        assert len(rows) > 1, name
    assert not faults


def test_a_panel_without_numbers_at_this_step_says_so_where_they_are_asked_for(page: Page) -> None:
    run = load(DEMOS / "spirals").id
    page.set_viewport_size({"width": 1280, "height": SEEN})
    page.goto(f"/?run={run}&at=0")
    card = page.locator(".kd-card[data-panel=loss]")
    expect(card).to_have_attribute("data-empty", "waits")  # far below, so it does not know yet
    card.locator("a.kd-tool").evaluate("tool => tool.click()")
    expect(card).to_contain_text("Not recorded by step 0.")
