"""The form beside a run: it holds that run's settings, or says that they are the next run's and what differs."""

from __future__ import annotations

import pytest
from case_factory import random_case
from lab_driver import ME, Finish, Open, button, labels, said, story

from app.links import black_box
from app.links import lab as link
from app.text import run_names
from kdcore.blackbox.orders import Order, spec
from kdcore.comparison.case import folder_of
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.jobs.tables import sealed
from kdcore.runs.changes import with_changes
from kdcore.spec.lineage import recommended
from kdcore.spec.spec import Change

NEXT = "Settings for the next run."


def done(store: Store, order: Order) -> Run:
    """A run of the Black box that is over, of somebody else."""
    run = store.submit(spec(order), "somebody")
    assert store.claim(1, run.id)
    store.append(run.id, story(run.spec, 0.8))
    return store.get(run.id)


def test_the_lab_follows_the_run_of_a_link_and_run_starts_it(lab: Open, store: Store, finish: Finish) -> None:
    shown = finish(owner="somebody", data="circles", method="dkd", seed=4)
    page = lab(run=shown.id)
    assert NEXT not in said(page)
    assert page.query_params == {"run": shown.id}  # as it came, so that the way back holds
    button(page, "Run")
    started = store.get(page.query_params["run"])
    assert (started.owner, started.spec) == (sealed(ME), shown.spec)


def test_the_black_box_follows_too(lab: Open, store: Store) -> None:
    shown = done(store, Order(data="digits_color", budget=200_000, seed=3))
    page = lab("blackbox", run=shown.id)
    assert NEXT not in said(page)
    button(page, "Run")
    assert store.get(page.query_params["run"]).spec == shown.spec
    assert store.get(page.query_params["run"]).owner == sealed(ME)


@pytest.mark.parametrize("view", ["lab", "blackbox"])
def test_an_edited_form_says_whose_its_settings_are(lab: Open, store: Store, finish: Finish, view: str) -> None:
    shown = finish(data="digits") if view == "lab" else done(store, Order())
    page = lab(view, run=shown.id)
    assert NEXT not in said(page)
    seed = next(item for item in page.number_input if item.key == "form seed")
    seed.set_value(7).run()
    assert page.query_params == {"seed": "7", "run": shown.id}
    assert f"**{NEXT}** The displayed run differs in seed." in said(page)
    button(page, "Load these settings")
    assert NEXT not in said(page)
    assert "Load these settings" not in labels(page)
    assert page.query_params["run"] == shown.id


def test_settings_in_a_link_count_more_than_its_run(lab: Open, finish: Finish) -> None:
    """Whoever shares a view with an edited form, even one that was put back to what is recommended, shares the form."""
    shown = finish(data="circles")
    page = lab(run=shown.id, data="digits")
    assert f"**{NEXT}** The displayed run differs in data" in said(page)
    assert page.query_params == {"data": "digits", "run": shown.id}
    again = lab(run=shown.id, seed="3", data="circles")
    assert "differs in seed." in said(again)


def test_another_seed_takes_a_form_along_that_held_the_run(lab: Open, finish: Finish) -> None:
    page = button(lab(run=finish().id), "Another seed")
    assert NEXT not in said(page)
    assert page.number_input(key="form seed").value == 1
    edited = lab(run=finish(seed=5).id, data="moons", seed="9")
    assert button(edited, "Another seed").query_params["seed"] == "9"


def test_a_recorded_run_says_what_it_is_and_what_run_starts(lab: Open, finish: Finish) -> None:
    finish(owner="demo", data="spirals")
    page = lab()
    assert "A recorded run is playing: Knowledge distillation · Spirals" in said(page)
    assert "with the settings in the form: Knowledge distillation · Digits" in said(page)
    assert NEXT in said(page)
    same = lab(data="spirals")
    assert "press Run to start a real one here" in said(same)
    assert NEXT not in said(same)


def test_a_link_to_nothing_leaves_the_form_alone(lab: Open) -> None:
    assert lab(run="nothing").query_params == {}


def test_what_a_form_can_say_of_a_run() -> None:
    plain = recommended("moons", "dkd", seed=2)
    changed = with_changes(plain, [Change(step=3, path="schedule.lr", value=0.5)])
    assert link.spec_of(link.of_run(changed)) == plain
    assert black_box.of_run(spec(Order(budget=200_000))) == black_box.complete({"budget": 200_000})
    assert black_box.of_run(plain) is None


def test_a_comparison_that_comes_on_show_stays_in_the_address(lab: Open) -> None:
    """Only pages with a form for runs follow one."""
    random_case(folder_of("case-0123456789ab"))
    page = lab("inspector")
    shown = page.session_state["link of inspector"]
    page.session_state["link of inspector"] = shown._replace(run="case-0123456789ab")
    assert page.run().query_params["case"] == "case-0123456789ab"


def test_few_names() -> None:
    paths = ["seed", "teacher.data.noise", "data.noise", "student.name", "teacher.student.name", "teacher.schedule.lr"]
    assert [run_names.setting(path) for path in run_names.ordered(paths)] == [
        "student", "teacher", "noise", "teacher's learning rate", "seed",
    ]  # fmt: skip
    assert run_names.few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more settings"
