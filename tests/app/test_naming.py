"""What tells runs apart: planted pairs that differ in one thing carry different names wherever runs are listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.components import frontier_chart
from app.text import phrases, run_names
from kdcore.blackbox.frontier import Point
from kdcore.blackbox.orders import Order
from kdcore.blackbox.orders import spec as ordered
from kdcore.events import Checkpoint
from kdcore.jobs.store import Store
from kdcore.runs.changes import with_changes
from kdcore.spec.lineage import recommended
from kdcore.spec.presets import presets
from kdcore.spec.spec import Change, Spec, parse

PLAIN = recommended("moons")


def altered(spec: Spec = PLAIN, **paths: Any) -> Spec:
    """The spec with settings changed; `a__b` is the path a.b."""
    raw = spec.model_dump(mode="json")
    for path, value in paths.items():
        *parents, last = path.split("__")
        place: Any = raw
        for key in parents:
            place = place[key]
        place[last] = value
    return parse(raw)


CHANGED = with_changes(PLAIN, [Change(step=300, path="method.temperature", value=8)])
PAIRS = {
    "temperature 2": altered(method__knobs__temperature=2.0),
    "seed 1": altered(seed=1),
    "noise 0.3": altered(data__knobs__noise=0.3, teacher__data__knobs__noise=0.3),
    "data's seed 3": altered(data__knobs__seed=3, teacher__data__knobs__seed=3),
    "learning rate 0.02": altered(schedule__lr=0.02),
    "student's depth 3": altered(student__knobs__depth=3),
    "teacher's steps 50": altered(teacher__schedule__steps=50),
    "teacher's seed 4": altered(teacher__seed=4),
    "device cpu": altered(device="cpu", teacher__device="cpu"),
    "access logits": altered(access="logits"),
    "changed at step 300: temperature 4 → 8": CHANGED,
}


@pytest.mark.parametrize("mark", PAIRS)
def test_a_title_names_what_differs_from_what_is_recommended(mark: str) -> None:
    assert phrases.title(PAIRS[mark]) == f"{phrases.title(PLAIN)} · {mark}"


def test_a_title_says_whose_steps_differ() -> None:
    quick = ordered(Order())
    both = quick.model_dump(mode="json")
    both["source"]["knobs"]["steps"], both["schedule"]["steps"] = 10, 12
    assert {"generator's steps 10", "steps 12"} <= set(phrases.title(parse(both)).split(" · "))


def own_points(count: int, turn: float = 0.0) -> Spec:
    """A run on points of one's own, of three classes."""
    points = [[round(turn + 0.01 * k, 3), 0.5, k % 3] for k in range(count)]
    spec = recommended("points")
    return altered(spec, data__knobs__points=points, teacher__data__knobs__points=points)


def test_points_of_ones_own_are_counted_and_not_listed() -> None:
    title = phrases.title(own_points(30))
    assert title == f"{phrases.title(recommended('points'))} · 30 points in 3 classes"
    few, many, moved = own_points(30), own_points(60), own_points(30, 0.5)
    names = run_names.distinct(["run"] * 3, [few, many, moved])
    assert len(set(names)) == 3
    assert all("0.01" not in name and "points in 3 classes" in name for name in names)
    broken = altered(few, data__knobs__points=[1, [2]], teacher__data__knobs__points=[1, [2]])
    assert "2 points" in phrases.title(broken)  # a form may hold what no run can


def test_what_is_recommended_needs_no_more_words() -> None:
    for method in ("kd", "dkd", "ban", "takd", "dml"):
        assert run_names.deviations(recommended("moons", method)) == []
    assert run_names.deviations(ordered(Order())) == []


def test_a_long_title_counts_what_it_leaves_out() -> None:
    many = altered(method__knobs__temperature=2.0, schedule__lr=0.02, schedule__steps=7, schedule__batch=8, seed=3)
    assert phrases.title(many).endswith("temperature 2 · steps 7 · batch 8 · 1 more setting · seed 3")


def changed(count: int) -> Spec:
    """`CHANGED` with the learning rate changed too, so that there are `count` changes."""
    later = [Change(step=300 + 10 * place, path="schedule.lr", value=place / 10) for place in range(1, count)]
    return with_changes(CHANGED, later)


def test_a_title_names_several_changes_and_counts_those_beyond() -> None:
    twice = with_changes(CHANGED, [Change(step=400, path="schedule.lr", value=0.02)])
    both = "changed at step 300: temperature 4 → 8; at step 400: learning rate 0.01 → 0.02"
    assert phrases.title(twice).endswith(f" · {both}")
    assert phrases.unnamed(twice) is None
    assert phrases.title(changed(5)).endswith("; at step 320: learning rate 0.1 → 0.2; +2 more")
    assert phrases.unnamed(changed(5)).endswith("; at step 340: learning rate 0.3 → 0.4.")
    assert phrases.differences([PLAIN, twice]) == {
        "changes": [None, "at step 300: temperature 4 → 8; at step 400: learning rate 0.01 → 0.02"]
    }


def test_names_in_a_list_are_as_many_as_the_runs_that_differ(tmp_path: Path) -> None:
    hidden = {"schedule__lr": 0.02, "schedule__steps": 7, "schedule__batch": 8, "method__knobs__temperature": 2.0}
    specs = [PLAIN, *PAIRS.values(), *(altered(**hidden, seed=seed) for seed in (3, 4))]
    store = Store(tmp_path)
    runs = [store.submit(spec, "me") for spec in specs]
    assert len(set(phrases.headings(runs))) == len({spec.hash for spec in specs}) == len(specs)
    assert phrases.headings(runs[:1] * 2) == [phrases.title(PLAIN)] * 2
    assert phrases.labels(runs[:1]) == {runs[0].id: f"{phrases.title(PLAIN)} · {runs[0].id[:4]}"}


def test_a_run_that_was_stopped_says_so_in_its_heading(tmp_path: Path) -> None:
    store = Store(tmp_path)
    whole, run = store.submit(PLAIN, "me"), store.submit(PLAIN, "me", fresh=True)
    store.claim(1, run.id)
    store.append(run.id, [Checkpoint(step=120, file="checkpoints/120")])
    assert phrases.heading(store.get(run.id)) == phrases.title(PLAIN)
    store.move(run.id, "cancelled", message="Stopped.")
    mark = f"stopped at step 120 of {PLAIN.schedule.steps:,}"
    assert phrases.headings([whole, store.get(run.id)]) == [phrases.title(PLAIN), f"{phrases.title(PLAIN)} · {mark}"]


def test_orders_of_the_black_box_are_told_apart() -> None:
    orders = [Order(preset=name) for name in presets() if name in ("quick", "aligned", "paper", "released")]
    orders += [Order(share=0.2), Order(budget=200_000), Order(price=2.0), Order(quick=False), Order(seed=1)]
    specs = [ordered(order) for order in orders]
    assert len({phrases.title(spec) for spec in specs}) == len(specs)


def test_points_of_the_frontier_are_told_apart() -> None:
    begun = ordered(Order())
    specs = [begun, ordered(Order(budget=200_000)), ordered(Order(seed=1))]
    specs.append(with_changes(begun, [Change(step=700, path="schedule.lr", value=0.02)]))
    points = [Point(f"{place}", spec, 10, 0, 1.0, 0.8, 0.8, spent=False) for place, spec in enumerate(specs)]
    names = frontier_chart.named_apart(points)
    assert len(set(names.values())) == len(points)
    assert "changed at step 700: learning rate 0.002 → 0.02" in names["3"]
    hovers = [text for trace in frontier_chart.figure(points, None, "accuracy", "", "light")["data"]
              for text in trace.get("hovertext", ())]  # fmt: skip
    assert len({text.partition("<br>")[0] for text in hovers}) == len(points)
