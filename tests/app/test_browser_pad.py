"""The drawing pad in a real browser: a stroke changes both answers, and taking it back brings the first ones again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from browsing import person, served
from pair_factory import CNN, DIGITS, WIDER, party
from playwright.sync_api import Browser, Page, expect

from kdcore.comparison import worker
from kdcore.comparison.question import Question

pytestmark = pytest.mark.browser
BARS = "[...document.querySelectorAll('.kd-bars i')].map(bar => bar.title).join()"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The link to a case of two small networks, on a server of its own."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDLAB_HOME", str(home))
        question = Question(
            data=DIGITS, student=party(home / "s", CNN, DIGITS, 15, 0), teacher=party(home / "t", WIDER, DIGITS, 60, 1)
        )
        question.write()
        assert "told" in worker.answer(json.dumps({"task": "answers", "folder": str(question.folder)}))
    with served(home) as found:
        yield f"{found}/inspector?case={question.id}&section=sample"


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with person(chromium, address) as opened:
        opened.goto(address)
        opened.get_by_role("button", name="Edit or draw").click()
        opened.locator(".pad canvas").scroll_into_view_if_needed()
        opened.wait_for_function(f"{BARS}.includes('teacher') && {BARS}.includes('student')")
        yield opened


def changed(page: Page, before: str) -> str:
    """Both answers, once each has another number somewhere."""
    sides = f"who => {BARS}.split(',').filter(told => told.startsWith(who)).join()"
    for who in ("teacher", "student"):
        was = ",".join(told for told in before.split(",") if told.startswith(who))
        page.wait_for_function(
            f"([who, was]) => {{ const now = ({sides})(who); return now && now !== was }}", arg=[who, was]
        )
    found: str = page.evaluate(BARS)
    return found


def test_a_stroke_changes_both_answers_and_undo_brings_them_back(page: Page) -> None:
    first = page.evaluate(BARS)
    undo = page.locator(".pad [data-undo]")
    expect(undo).to_be_disabled()
    box = page.locator(".pad canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.7 * box["height"], steps=6)
    page.mouse.up()
    second = changed(page, first)
    assert second != first
    undo.click()
    page.wait_for_function(f"first => {BARS} === first", arg=first)
    expect(undo).to_be_disabled()


def test_the_keys_draw_and_erase(page: Page) -> None:
    canvas, first = page.locator(".pad canvas"), page.evaluate(BARS)
    canvas.focus()
    for key in ("3", "ArrowLeft", "ArrowUp", " "):
        canvas.press(key)
    changed(page, first)
    expect(page.locator(".pad [data-undo]")).to_be_enabled()
    canvas.press("e")
    expect(page.locator(".pad [data-erase]")).to_have_attribute("aria-pressed", "true")
