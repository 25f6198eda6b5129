"""Every panel of a case over a matrix of cases and selections: it draws a valid figure, or says what is missing."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from case_factory import case, random_case
from PIL import Image

from app.panels import View, case_panels, panel
from kdcore.comparison.case import Case
from kdcore.comparison.image_statistics import measured
from kdcore.comparison.question import Party, Question
from kdcore.errors import BadInput
from kdcore.spec.spec import Choice, parse

SELECTIONS = {
    "nothing selected": "",
    "a part": "part=teacher_only",
    "where both agree": "part=both_right",
    "a class": "true=1",
    "no row at all": "student confidence=2..3",
    "what this case has not": "colour=red;box.umap=0,1,0,1",
}


def plain(rows: int = 60, classes: int = 4, teacher: bool = True, known: bool = True, factor: float = 1.0) -> Case:
    """A case of logits of chance, without pictures."""
    rng = np.random.default_rng(rows + classes)
    labels = rng.integers(0, classes, rows) if known else np.full(rows, -1)
    student, taught = (factor * rng.normal(size=(rows, classes)) for _ in range(2))
    return case(Path(mkdtemp()), labels, student, taught if teacher else None)


def points() -> Case:
    """A case on a plane."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2)).astype(np.float32)
    logits = np.stack([x[:, 0], -x[:, 0]], axis=1)
    return case(Path(mkdtemp()), (x[:, 0] < 0).astype(int), logits + 0.5 * rng.normal(size=(50, 2)), logits, x)


ASKING = {"case-plane", "case-margins"}  # they ask models, which these cases do not have
CASES: dict[str, Callable[[], Case]] = {
    "pictures": lambda: random_case(Path(mkdtemp())),
    "points": points,
    "answers alone": plain,
    "no teacher": lambda: plain(teacher=False),
    "no labels": lambda: plain(known=False),
    "one row": lambda: plain(rows=1),
    "one class": lambda: plain(classes=1),
    "two classes": lambda: plain(classes=2),
    "hundred classes": lambda: plain(rows=300, classes=100),
    "huge logits": lambda: plain(factor=1e36),
    "no finite logits": lambda: plain(factor=float("nan")),
}
made = cache(lambda name: CASES[name]())


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("name", sorted({*case_panels()} - ASKING))
def test_a_panel_draws_or_says_what_is_missing(name: str, kind: str) -> None:
    panel, seen = case_panels()[name], made(kind)
    try:
        lacking = panel.lacks(seen)
    except BadInput as error:
        lacking = str(error)
    if lacking:
        assert lacking[0].isupper()
        assert lacking.rstrip()[-1] in ".…"
        return
    for place, select in enumerate(SELECTIONS.values()):
        view = View(select=select, beside=0)
        drawing = panel.draw(seen, view)
        if isinstance(drawing, dict) and panel.kind == "plotly":
            json.dumps(drawing, allow_nan=False)
            assert ("temperature" in drawing["layout"].get("meta", {})) == panel.softened
            assert drawing["data"] or drawing["layout"].get("annotations"), "an empty figure must say why"
            if not place:  # Plotly's own check is slow
                go.Figure(drawing)
        columns = panel.table(seen, view)
        assert columns
        assert all(isinstance(column, list) for column in columns.values())


def test_the_bar_of_all_rows_says_what_it_is() -> None:
    drawing = case_panels()["case-partition"].draw(made("pictures"), View())
    assert drawing["layout"]["yaxis"].get("visible", True)  # type: ignore[index]
    names = {trace["y"][0] for trace in drawing["data"] if "yaxis" not in trace}  # type: ignore[index]
    assert names == {f"all {len(made('pictures').rows):,}"}


def test_a_flow_of_nothing_is_a_sentence() -> None:
    seen = made("pictures")
    drawing = case_panels()["case-flow"].draw(seen, View(select="part=both_right"))
    assert drawing["data"] == []  # type: ignore[index]
    assert "same class" in drawing["layout"]["annotations"][0]["text"]  # type: ignore[index]


def test_the_faces_of_rows_are_their_pixels() -> None:
    from base64 import b64decode
    from io import BytesIO

    seen = made("pictures")
    item = case_panels()["case-samples"].draw(seen, View(sample=3))["items"][0]  # type: ignore[index]
    image = np.asarray(Image.open(BytesIO(b64decode(item["image"].partition(",")[2]))))
    assert seen.pictures is not None
    assert (image.squeeze() == seen.pictures[item["sample"]].squeeze()).all()


@pytest.mark.parametrize("behind", [False, True])
def test_the_file_of_rows_holds_no_points_of_an_edge(tmp_path: Path, behind: bool) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(20, 2)).astype(np.float32)
    logits = rng.normal(size=(20, 2))
    known = case(tmp_path, rng.integers(0, 2, 20), logits, logits, points, measured(points) | {"age": np.arange(20.0)})
    wall: dict[str, Any] = {"access": "probabilities", "wall": {}} if behind else {}
    moons: dict[str, Any] = {"data": {"name": "moons"}, "student": {"name": "mlp"}, "method": {"name": "ce"}}
    taught = moons | {"method": {"name": "kd"}, "teacher": moons} | wall
    party = Party(title="student", folder="/nowhere", spec=parse(taught).model_dump_json())
    (tmp_path / "question.json").write_text(Question(data=Choice(name="moons"), student=party).model_dump_json())
    columns = panel("case-samples").table(known, View())
    assert ("x0" in columns, "x1" in columns, "age" in columns) == (not behind, not behind, True)


@pytest.mark.parametrize("name", ["parts_over_time", "trails", "reliability_play", "calibration_path"])
def test_a_file_of_answers_is_called_no_run(name: str) -> None:
    says = "The student is an uploaded file of outputs, not a run, so its training is unknown."
    assert case_panels()[f"case-{name}"].lacks(plain()) == says
