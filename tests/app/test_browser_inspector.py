"""The engineer's five minutes in a real browser: open, worst slice, worst pair, sample, cause, learn on it, compare."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import end_workers, person, served
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from app import theme

pytestmark = pytest.mark.browser
REAL = os.environ.get("KDLAB_REAL_DATA")
BAR = ".bars .point path"
LONG_MS = 120_000  # for runs, on a busy machine


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that knows the published data sets where they are on this machine."""
    home = tmp_path_factory.mktemp("home")
    if REAL:
        (home / "data").symlink_to(Path(REAL).resolve())
    with served(home) as found:
        yield found
    end_workers(home)


def card(name: str) -> str:
    """A panel of a case."""
    return f"#panel-case-{name}"


def section(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).or_(
        page.get_by_role("button", name=name, exact=True)
    ).first.click()
    expect(page).to_have_url(re.compile(rf"section={name.lower()}|^(?!.*section=)"))


def point_at(page: Page, mark: Locator) -> None:
    """Click a mark of a chart, over which the chart lays what listens for it; it hears of the pointer first."""
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 2, y)
    page.wait_for_timeout(200)
    page.mouse.move(x, y)
    page.mouse.click(x, y)


def open_example(page: Page) -> None:
    """A recorded student and its teacher, which come with the Lab."""
    page.goto("/inspector")
    page.get_by_role("button", name="Open an example").click()


def open_run(page: Page) -> None:
    """A student that was just trained on Fashion-MNIST, opened from the Lab."""
    page.goto("/?data=fashion_mnist&schedule.steps=300&teaching.steps=600&data.train_fraction=0.2")
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_role("link", name="Inspect", exact=True).click(timeout=LONG_MS)


@pytest.mark.parametrize(
    "arrive",
    [
        open_example,
        pytest.param(open_run, marks=[pytest.mark.real, pytest.mark.skipif(not REAL, reason="no KDLAB_REAL_DATA")]),
    ],
)
def test_the_five_minutes(chromium: Browser, address: str, arrive: object) -> None:
    with person(chromium, address) as page:
        page.set_viewport_size({"width": 1280, "height": 1600})
        arrive(page)  # type: ignore[operator]
        expect(page.locator(f"{card('partition')} {BAR}").first).to_be_visible(timeout=LONG_MS)

        section(page, "Slices")  # the worst slice is the uppermost
        point_at(page, page.locator(f"{card('slices')} {BAR}").last)
        expect(page).to_have_url(re.compile(r"select="))
        expect(page.get_by_role("button", name="Clear")).to_be_visible()

        section(page, "Where")  # the worst pair of answers on it
        point_at(page, page.locator(f"{card('flow')} .sankey-link").first)
        expect(page.get_by_role("button", name=re.compile("teacher says"))).to_be_visible()

        section(page, "Sample")  # one of its rows
        page.locator(f"{card('samples')} .kd-tile[data-differs]").first.click()
        expect(page.locator(f"{card('samples')} .kd-tile[aria-current=true]")).to_have_count(1)
        expect(page.get_by_text("They disagree")).to_be_visible()
        expect(page.locator(f"{card('classes')} {BAR}").first).to_be_visible()

        section(page, "Why")  # its cause, with evidence
        page.get_by_role("button", name="Measure distances to the training rows").click()
        expect(page.get_by_text("Distances to the training rows were not measured")).to_have_count(0, timeout=LONG_MS)
        expect(page.locator(f"{card('causes')} {BAR}").first).to_be_visible()

        section(page, "Slices")  # 200 more steps on the slice, and what they did elsewhere
        page.get_by_role("button", name=re.compile("teacher says")).click()
        page.get_by_role("button", name=re.compile("student says")).click()
        expect(page.get_by_role("button", name=re.compile("(teacher|student) says"))).to_have_count(0)
        learn(page)


def learn(page: Page) -> None:
    """Let the student learn on what is selected; what that did there is told beside what it did elsewhere."""
    page.get_by_role("button", name="Train 200 more steps on this slice").click()
    afterwards = page.get_by_role("button", name="Inspect the student afterwards")
    expect(afterwards).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    before = page.url
    afterwards.click()
    expect(page).not_to_have_url(before)
    expect(page.locator(card("slices"))).to_be_visible(timeout=LONG_MS)


# Files before runs, and runs after files


def choose(page: Page, label: str, option: re.Pattern[str], becomes: str) -> None:
    """Choose from a list of the form, and wait until the link says so. A page that is still arriving may draw the list
    anew and so close it: it is opened once more, as a person would."""
    choice = page.get_by_role("option", name=option).first
    for _ in range(3):
        page.get_by_role("combobox", name=re.compile(label)).first.click()
        try:
            choice.click(timeout=10_000)
            break
        except TimeoutError:
            page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(becomes))


def test_no_party_leaves_anything_to_the_next(chromium: Browser, address: str) -> None:
    """A list whose labels change picks nothing by itself; a point of the chart of all runs opens its run, whatever the
    form holds."""
    with person(chromium, address) as page:
        page.set_viewport_size({"width": 1280, "height": 1600})
        page.goto("/inspector")
        choose(page, "Student", re.compile("ONNX"), "student=onnx")
        choose(page, "Data set", re.compile(r"^Digits 8"), "data=digits")
        assert "teacher=" not in page.url
        choose(page, "Student", re.compile("labels only"), "student=(?!onnx)")
        expect(page.locator(f"{card('partition')} {BAR}").first).to_be_visible(timeout=LONG_MS)
        first = page.url
        assert "data=" not in first
        page.locator("summary").filter(has_text="beside").first.click()
        choose(page, "Student", re.compile("ONNX"), "student=onnx")
        page.locator("summary").filter(has_text="Faithful or accurate").click()
        others = page.locator(f"[data-testid=stVegaLiteChart] path[fill='{theme.MUTED['light']}' i]")
        expect(others.first).to_be_visible()
        point_at(page, others.first)
        expect(page).to_have_url(re.compile("student=(?!onnx).*case="))
        assert page.url.split("case=")[1] != first.split("case=")[1]
        expect(page.locator(f"{card('partition')} {BAR}").first).to_be_visible(timeout=LONG_MS)
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_selection_stops_a_diagram_that_plays(chromium: Browser, address: str) -> None:
    """The frames that were under way are dropped without a word in the console, and the button plays them again."""
    with person(chromium, address) as page:
        page.set_viewport_size({"width": 1280, "height": 3200})
        thrown: list[str] = []
        page.on("pageerror", lambda error: thrown.append(str(error)))
        open_example(page)
        expect(page.locator(f"{card('partition')} {BAR}").first).to_be_visible(timeout=LONG_MS)
        section(page, "Calibration")
        play = page.locator(f"{card('reliability_play')} .updatemenu-button").first
        label = page.locator(f"{card('reliability_play')} .slider-label").first
        expect(label).to_be_visible()
        last = label.text_content()
        play.click()
        expect(label).not_to_have_text(str(last))
        point_at(page, page.locator(f"{card('reliability')} {BAR}").nth(28))
        expect(page).to_have_url(re.compile("select=student"))
        expect(label).to_have_text(str(last))
        play.click()
        expect(label).not_to_have_text(str(last))
        assert not thrown
