"""A run that a link opens, in a real browser: the form holds its settings and Run starts just those; one of the
terminal goes on."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from browsing import PATIENCE_MS
from lab_driver import story
from playwright.sync_api import Page, expect

from kdcore.blackbox.orders import Order
from kdcore.blackbox.orders import spec as ordered
from kdcore.contracts.control import Command
from kdcore.events import Changed
from kdcore.jobs.rows import TERMINAL
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Spec

pytestmark = pytest.mark.browser
LONG = Schedule(steps=200_000)
NEXT = "Settings for the next run."
SHOWN = {
    "": recommended("circles", "dkd", seed=4),
    "blackbox": ordered(Order(data="digits_color", budget=200_000, seed=3)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two finished runs of somebody else."""
    home = tmp_path_factory.mktemp("home")
    with closing(Store(home)) as store:
        for spec in SHOWN.values():
            run = store.submit(spec, "somebody")
            store.claim(1, run.id)
            store.append(run.id, story(spec, 0.8))
    return home


def seed(page: Page, value: int) -> None:
    """Type a seed into the form."""
    field = page.locator(".st-key-form-seed input")
    field.fill(str(value))
    field.press("Enter")


def run_of(page: Page, folder: Path) -> tuple[str, Spec]:
    """The run that the address names."""
    found = re.search(r"run=([a-z0-9]+)", page.url)
    assert found
    with closing(Store(folder)) as store:
        return found[1], store.get(found[1]).spec


def test_a_change_by_hand_comes_into_the_title_while_the_run_goes_on(page: Page, folder: Path) -> None:
    with closing(Store(folder)) as store:
        run = store.adopt(recommended("moons", seed=9), "somebody")  # as if this process did it
        store.beat(run.id, lease_s=600.0)
        store.append(run.id, story(run.spec, 0.8)[:1])
        page.goto(f"/?run={run.id}")
        expect(page.get_by_role("heading", name=re.compile("Moons"))).to_be_visible()
        expect(page.get_by_role("heading", name=re.compile("changed"))).to_have_count(0)
        store.append(run.id, [Changed(step=0, path="method.temperature", old=4.0, new=8.0)])
        mark = page.get_by_role("heading", name=re.compile("changed at step 0: temperature 4 → 8"))
        expect(mark).to_be_visible()
        page.get_by_role("button", name="Share").click()
        expect(page.get_by_text("--change 0:method.temperature=8.0")).to_be_visible()
        store.move(run.id, "cancelled")


@pytest.mark.parametrize("path", SHOWN)
def test_run_starts_what_stands_beside_the_run_of_a_link(page: Page, folder: Path, path: str) -> None:
    with closing(Store(folder)) as store:
        shown = next(run for run in store.runs(states={"done"}) if run.spec == SHOWN[path])
    page.goto(f"/{path}?run={shown.id}")
    sidebar = page.get_by_test_id("stSidebar")
    more = sidebar.get_by_text("Steps and seed")
    if path:
        more.click()
    expect(page.locator(".st-key-form-seed input")).to_have_value(str(shown.spec.seed))
    expect(page.get_by_text(NEXT)).to_have_count(0)
    seed(page, 77)
    expect(sidebar.get_by_text("The displayed run differs in seed.")).to_be_visible()
    expect(page).to_have_url(re.compile("seed=77"))  # which follows once the whole page is drawn
    page.go_back()
    expect(page.get_by_text(NEXT)).to_have_count(0)
    expect(page).to_have_url(re.compile(rf"\?run={shown.id}$"))
    sidebar.get_by_role("button", name="Run", exact=True).click()
    expect(page).not_to_have_url(re.compile(shown.id))
    new, spec = run_of(page, folder)
    assert new != shown.id
    assert spec == SHOWN[path]


def broken_off(folder: Path) -> str:
    """A run of the terminal that ended in the middle; no other one is before it."""
    with closing(Store(folder)) as store:
        for other in store.runs(states={"queued", "running"}):
            store.command(other.id, Command("cancel"), other.owner)
        run = store.submit(recommended("moons", seed=21).model_copy(update={"schedule": LONG}), TERMINAL)
        store.claim(1, run.id)
        store.append(run.id, story(run.spec, 0.8)[:2])
        store.move(run.id, "lost", message="Its worker is gone.")
    return run.id


def test_a_run_of_the_terminal_goes_on_and_can_be_stopped_at_once(page: Page, folder: Path) -> None:
    page.goto(f"/?run={broken_off(folder)}")
    stop = page.get_by_role("button", name="Stop this run")
    expect(page.get_by_role("heading", name=re.compile("interrupted at step"))).to_be_visible()
    expect(stop).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    running = page.locator("[data-state=running]")  # one that was only asked for is stopped at once, too
    expect(running).to_be_visible(timeout=2 * PATIENCE_MS)  # its worker starts once that of another test has ended
    stop.click()
    expect(page.get_by_role("heading", name=re.compile("stopped at step"))).to_be_visible()
    expect(page.get_by_text("since it resumed")).to_be_visible()  # the time before is not in it
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_text("belongs to another user")).to_have_count(0)
