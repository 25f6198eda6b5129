"""Axes that stand still, marks that do not overlap, and the temperature that is displayed."""

from dataclasses import replace
from typing import Any

import numpy as np
from record_factory import Run, record

from app.panels import View, panel
from kdcore.events import Changed, Loss
from kdcore.runs.record import Record


def figure(name: str, seen: Record, **view: Any) -> dict[str, Any]:
    drawn = panel(name).draw(seen, View(**view))
    assert isinstance(drawn, dict)
    return drawn


def said(drawn: dict[str, Any]) -> str:
    return " ".join(text["text"] for text in drawn["layout"]["annotations"])


def test_names_of_changes_close_together_become_one() -> None:
    plain = record()
    steps = tuple(plain.steps[-1].model_copy(update={"step": step}) for step in range(1, 1001))
    told = [(100, 0.1), (103, 0.2), (130, 0.3), (800, 0.4)]
    changes = tuple(plain.changes[0].model_copy(update={"step": step, "new": new}) for step, new in told)
    drawn = figure("loss", replace(plain, steps=steps, changes=changes))
    assert [(text["x"], text["text"]) for text in drawn["layout"]["annotations"]] == [
        (100, "3 changes"),
        (800, "lr 0.1 → 0.4"),
    ]
    assert drawn["layout"]["annotations"][0]["hovertext"].count("<br>") == 2


def test_the_first_value_does_not_set_the_axis() -> None:
    plain = record(Run(teacher=False))
    values = [40.0, *np.linspace(2.0, 1.0, 60)]
    steps = tuple(
        plain.steps[0].model_copy(
            update={"step": step, "loss": value, "terms": {"labels": Loss(weight=1.0, value=value)}}
        )
        for step, value in enumerate(values)
    )
    drawn = figure("loss", replace(plain, steps=steps, changes=()))
    axis = drawn["layout"]["yaxis"]
    assert (axis["type"], said(drawn)) == ("linear", "↑ 40 at step 0")
    assert 2.0 < axis["range"][1] < 2.5
    assert "range" not in figure("loss", plain)["layout"]["yaxis"]


def test_a_probability_is_as_tall_as_it_is() -> None:
    many = record(Run(telling=True, classes=100, rows=300))
    for name in ("logits", "target"):
        layout = figure(name, many)["layout"]
        assert layout["yaxis2" if name == "logits" else "yaxis"]["range"] == [0, 1]


def test_names_below_the_targets_bars_stay_out_of_the_plot_below() -> None:
    many = figure("target", record(Run(telling=True, classes=50, rows=300)))["layout"]
    assert len(many["xaxis"]["tickvals"]) == 1
    assert "20 of 50 classes" in many["annotations"][0]["text"] or "21 of 50" in many["annotations"][0]["text"]
    few = figure("target", record(Run(telling=True, classes=2)))["layout"]["xaxis"]
    assert (len(few["tickvals"]), few["tickangle"]) == (2, 0)


def test_the_display_follows_the_training_temperature_until_a_person_chooses() -> None:
    plain = record(Run(plane=20))
    later = replace(plain, changes=(Changed(step=8, path="method.temperature", old=4.0, new=9.0),))
    assert softened(later) == (9.0, "sample 0 · τ = 9 ·")
    assert softened(later, temperature=2.0) == (2.0, "sample 0 · τ = 2 (training 9) ·")
    assert softened(plain) == (4.0, "sample 0 · τ = 4 ·")
    for name in ("tug", "affinity"):
        assert figure(name, later)["layout"]["meta"]["temperature"] == 9.0


def softened(seen: Record, **view: Any) -> tuple[float, str]:
    drawn = figure("logits", seen, **view)
    return drawn["layout"]["meta"]["temperature"], said(drawn).partition(" KL")[0]
