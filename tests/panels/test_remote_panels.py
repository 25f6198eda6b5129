"""Panels of runs whose teacher is remote: what was sent for measuring, and what was not measured."""

from dataclasses import replace
from typing import Any

from record_factory import Run, record

from app.panels import View, panel
from kdcore.record import Record
from kdcore.spec import Spec


def traces(drawn: dict[str, Any]) -> dict[str, Any]:
    return {trace["uid"]: trace for trace in drawn["data"]}


def said(drawn: dict[str, Any]) -> str:
    return " ".join(note["text"] for note in drawn["layout"]["annotations"])


def remote(measure: str) -> Record:
    """A run against a server, with what only measuring its teacher would tell left out."""
    seen = record(Run(making=True))
    service = {"name": "http", "knobs": {"model": "m"}}
    wall = {"budget": 5000, "measure": measure}
    spec = Spec.model_validate(seen.spec.model_dump(mode="json") | {"teacher": None, "service": service, "wall": wall})
    static = {name: array for name, array in seen.static.items() if name != "teacher_logits"}
    return replace(seen, spec=spec, static=static)


def test_measuring_a_remote_teacher_is_paid_for_and_stands_on_the_pile() -> None:
    drawn = panel("meter").draw(remote("real"), View())
    assert isinstance(drawn, dict)
    assert "<b>1 712</b> of 5 000 queries · <b>$1.71</b>" in said(drawn).replace("\u202f", " ")
    assert "512 for measuring, real ones not counted" in said(drawn)
    assert traces(drawn)["measuring"]["y"][-1] == 512


def test_what_a_remote_teacher_was_not_asked_says_how_to_allow_it() -> None:
    refused = panel("fidelity").lacks(replace(remote("nothing"), evaluations=()))
    assert refused is not None
    assert "Not measured: it would send the remote teacher local or held-out images." in refused
    assert "--set wall.measure=real" in refused
    waiting = panel("fidelity").lacks(replace(remote("real"), evaluations=()))
    assert waiting is not None
    assert "Not measured" not in waiting
