"""The Runs page in a real browser: runs are deleted and come back, also on a telephone."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from lab_driver import story
from playwright.sync_api import Page, expect

from app import theme
from app.live.tokens import COOKIE
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended

pytestmark = pytest.mark.browser


def mine(page: Page, folder: Path, *seeds: int) -> list[str]:
    """Finished runs of the person who looks at the page."""
    page.goto("/runs")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    owner = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE)
    with closing(Store(folder)) as store:
        runs = [store.submit(recommended("moons", seed=seed), owner) for seed in seeds]
        for run in runs:
            store.claim(1, run.id)
            store.append(run.id, story(run.spec, 0.8))
    return [run.id for run in runs]


def test_the_curves_follow_the_theme_of_the_page(page: Page, folder: Path) -> None:
    page.goto(f"/runs?compare={','.join(mine(page, folder, 5, 6))}")
    for look in ("light", "dark", "light"):
        page.emulate_media(color_scheme=look)
        for colour in theme.classes(2, look):
            expect(page.locator(f'[data-testid=stVegaLiteChart] [stroke="{colour}"]').first).to_be_attached()


def there(folder: Path) -> set[str]:
    with closing(Store(folder)) as store:
        return {run.id for run in store.runs()}


def test_runs_are_deleted_and_brought_back(page: Page, folder: Path) -> None:
    ids = mine(page, folder, 0, 1)
    page.goto(f"/runs?compare={','.join(ids)}")
    page.get_by_role("button", name="Delete 2 of mine").click()
    expect(page.get_by_text("2 runs were deleted.")).to_be_visible()
    assert not there(folder) & set(ids)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 runs were deleted.")).to_have_count(0)
    assert there(folder) >= set(ids)


def test_a_small_screen_has_a_table_of_its_own_with_the_same_ticks(page: Page, folder: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    (only,) = mine(page, folder, 2)
    page.goto("/runs")
    narrow, wide = (page.locator(f".st-key-runs-{name}") for name in ("narrow", "wide"))
    canvas = narrow.locator("canvas").first
    expect(canvas).to_be_visible()
    expect(wide).to_be_hidden()
    expect(page.get_by_text("Import a recorded run")).to_be_visible()  # the last on the page: the table moves no more
    canvas.click(position={"x": 16, "y": 35 + 56}, force=True)  # the first row's tick; what scrolls lies over it
    expect(page).to_have_url(re.compile(rf"compare={only}$"))
    page.get_by_test_id("stBaseButton-secondary").filter(has_text="Delete").click()
    expect(page.get_by_text("The run was deleted.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The run was deleted.")).to_have_count(0)
    assert only in there(folder)
    page.goto(f"/runs?compare={only}")
    expect(page.get_by_role("link", name=re.compile(f"Open {only[:4]}"))).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(wide).to_be_visible()
    expect(narrow).to_be_hidden()
