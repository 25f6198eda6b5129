"""Clicks whose effect lies outside the fragment they sit in, in a real browser, where a fragment reruns alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def press(page: Page, label: str) -> None:
    page.get_by_test_id("stMain").get_by_role("button", name=label).click()


def run_of(page: Page) -> str:
    found = re.search(r"[?&]run=(\w+)", page.url)
    assert found
    return found[1]


def test_what_is_done_with_a_run_that_is_over_shows_at_once(page: Page) -> None:
    page.goto("/?data=moons&schedule.steps=20&teaching.steps=20")
    page.get_by_test_id("stSidebar").get_by_role("button", name="Run").click()
    expect(page.get_by_text("The student is correct on")).to_be_visible()
    first = run_of(page)

    page.goto(f"/?run={first}&seed=7")  # the form says something else
    expect(page.get_by_label("Data", exact=True)).to_have_value(re.compile("Digits"))
    press(page, "Load these settings")
    expect(page.get_by_label("Data", exact=True)).to_have_value(re.compile("moons", re.IGNORECASE))
    expect(page.locator(".st-key-form-seed input")).to_have_value("0")
    page.get_by_test_id("stSidebar").get_by_role("button", name="Run").click()  # what the form says is what runs
    expect(page.get_by_text("This run was already done")).to_be_visible()
    assert run_of(page) == first

    press(page, "Another seed")
    expect(page).not_to_have_url(re.compile(first))
    second = run_of(page)
    expect(page.get_by_text("This run was already done")).to_have_count(0)
    expect(page.get_by_text("The student is correct on")).to_be_visible()

    press(page, "Delete")
    expect(page.get_by_text("The run was deleted.")).to_be_visible()
    expect(page).not_to_have_url(re.compile("run="))
    press(page, "Undo")
    expect(page).to_have_url(re.compile(second))
    expect(page.get_by_text("The run was deleted.")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_be_visible()


def test_a_row_pinned_under_the_lens_is_pinned_in_every_panel(page: Page) -> None:
    page.goto("/blackbox")
    number = page.get_by_label("Number, or pin one in a panel")
    number.fill("7")
    number.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]sample=7(&|$)"))
