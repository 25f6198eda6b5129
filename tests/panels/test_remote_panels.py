"""Panels of runs whose teacher is remote: what was sent for measuring, and what was not measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record_factory import Run, record

from app.panels import View, panel
from kdcore.events import Asked, Finished, Meter
from kdcore.runs.bill import bill
from kdcore.runs.record import Record, gather
from kdcore.spec.spec import Spec


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
    drawn = drawn_of(remote("real"))
    assert "<b>1,712</b> of 5,000 queries · <b>$1.71</b>" in said(drawn)
    assert "512 for measuring, real ones not counted" in said(drawn)
    assert traces(drawn)["measuring"]["y"][-1] == 512


def test_the_panel_ends_where_the_bill_does(tmp_path: Path) -> None:
    """What the test split took, after the last loss point, is part of the picture and of the table."""
    seen = remote("real")
    last = seen.steps[-1]
    assert last.meter
    final = last.meter.model_copy(update={"looked": 871, "looked_real": 800, "bytes_up": 234_000})
    ended = Finished(step=last.step, result={}, meter=final)
    whole = gather(seen.spec, [*seen.steps, ended], tmp_path)
    told = bill(seen.spec, final)
    drawn = drawn_of(whole)
    assert f"<b>{told.images:,}</b> of 5,000 queries · <b>${told.dollars:.2f}</b>" in said(drawn)
    assert "871 for measuring, 800 real" in said(drawn)
    assert "0.234 MB up" in said(drawn)
    assert traces(drawn)["measuring"]["y"][-2:] == [512, 871]
    assert panel("meter").table(whole, View())["measuring"][-1] == 871


def test_a_count_of_an_earlier_step_than_the_picture_names_it(tmp_path: Path) -> None:
    seen = remote("real")
    now = seen.steps[-1].step + 5
    live = gather(seen.spec, list(seen.steps), tmp_path, {"step": np.array(now)})
    assert "<b>1,712</b> of 5,000 queries by step 12 · " in said(drawn_of(live))
    assert "by step" not in said(drawn_of(seen))
    paused = Asked(step=now, meter=Meter(images=1300, looked=548, looked_real=512))
    stands = gather(seen.spec, [*seen.steps, paused], tmp_path, {"step": np.array(now)})
    assert "<b>1,848</b> of 5,000 queries · " in said(drawn_of(stands))


def test_after_a_resume_the_headline_is_the_bill_and_what_the_step_has_used_stands_beside(tmp_path: Path) -> None:
    """The run goes on from a step that had used less than was paid, kept, and sent in vain by then."""
    seen = remote("real")
    *before, now = seen.steps
    assert now.meter
    paid = now.meter.model_copy(update={"images": 3000, "bytes_up": 9_000_000, "retried": 384})
    whole = gather(seen.spec, [*before, Asked(step=before[-1].step, meter=paid), now], tmp_path)
    drawn = drawn_of(whole)
    assert "<b>3,512</b> of 5,000 queries · <b>$3.51</b>" in said(drawn)
    assert "1,200 used by step 12" in said(drawn)
    assert "9 MB up" in said(drawn)
    assert "384 sent without a reply" in said(drawn)
    for name in ("up", "down", "synthetic"):
        assert np.all(np.diff(traces(drawn)[name]["y"]) >= 0), name
    assert " used by " not in said(drawn_of(seen))


def drawn_of(of: Record) -> dict[str, Any]:
    drawn = panel("meter").draw(of, View())
    assert isinstance(drawn, dict)
    return drawn


def test_coverage_says_what_of_it_was_not_measured() -> None:
    """Without consent only the distance is known: no name stands in the legend without a line."""
    seen = remote("nothing")
    told = [frame.model_copy(update={"notes": {"frechet": frame.notes["frechet"]}}) for frame in seen.frames]
    drawn = panel("coverage").draw(replace(seen, frames=tuple(told)), View())
    assert isinstance(drawn, dict)
    assert list(traces(drawn)) == ["Fréchet"]
    assert "Not measured: this would send images that the student does not learn from to the remote teacher." in said(
        drawn
    )
    whole = panel("coverage").draw(remote("real"), View())
    assert isinstance(whole, dict)
    assert "entropy" in traces(whole)
    assert "Not measured" not in said(whole)


def test_what_a_remote_teacher_was_not_asked_says_how_to_allow_it() -> None:
    refused = panel("fidelity").lacks(replace(remote("nothing"), evaluations=()))
    assert refused is not None
    assert "Not measured: this would send local or held-out images to the remote teacher." in refused
    assert "--set wall.measure=real" in refused
    waiting = panel("fidelity").lacks(replace(walled("real", budget=0), evaluations=()))
    assert waiting is not None
    assert "Not measured" not in waiting


def walled(measure: str, **wall: int) -> Record:
    seen = remote(measure)
    raw = seen.spec.model_dump(mode="json")
    return replace(seen, spec=Spec.model_validate(raw | {"wall": raw["wall"] | wall}))


def test_what_was_allowed_and_yet_not_measured_says_what_was_used_up() -> None:
    spent = panel("fidelity").lacks(walled("real", budget=1720))
    assert spent is not None
    assert spent == (
        "Not measured: the budget of 1,720 images leaves too few for this: 1,200 went to learning and 512 to other "
        "measurements. Raise the budget and run again."
    )
    limited = panel("fidelity").lacks(walled("real", budget=0, looks=512))
    assert limited is not None
    assert "the 512 images that may be sent for measuring alone are used up" in limited
    assert "--set wall.looks=N" in limited
