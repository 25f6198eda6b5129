"""Panels of the section Boundary: what they draw of a case made by hand."""

import json
import struct
from pathlib import Path
from typing import Any

import case_factory
import numpy as np
import pytest

from app.panels import BadInput, View, case_panels
from app.panels.cases import trails
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import Trail
from kdcore.comparison.embedding import first_view

EXTENT = np.array([0.0, 5.0, 0.0, 5.0])
HALVES = np.repeat([[0, 0, 0, 2, 2, 2]], 6, axis=0).astype(np.int16)
SURE = np.full((6, 6), 255, dtype=np.uint8)
PLANE = {
    "extent": EXTENT,
    "teacher_class": HALVES,
    "teacher_share": SURE,
    "student_class": np.roll(HALVES, 1, axis=1),
    "student_share": SURE,
    "followed": SURE,
}
THREE = {
    "rows": np.array([7, 2, 9]),
    "why": np.array(["pinned", "the nearest of another class", "the nearest of a third class"]),
    "corners": np.array([[1.0, 1.0], [4.0, 1.0], [2.0, 4.0]]),
    "near": np.array([7, 2, 9]),
    "near_places": np.array([[1.0, 1.0], [4.0, 1.0], [2.0, 4.0]]),
}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    made = case_factory.random_case(tmp_path)
    rows = made.rows
    return case_factory.case(
        tmp_path, rows.labels, rows.student, rows.teacher, np.array(made.pictures), **{"plane-7-x-x": PLANE | THREE}
    )


def parsed(drawing: bytes) -> tuple[dict[str, Any], np.ndarray]:
    length = struct.unpack_from("<II", drawing)[1]
    head = json.loads(drawing[8 : 8 + length])
    return head, np.frombuffer(drawing, np.uint8, offset=8 + length).reshape(-1, head["size"], head["size"])


def drawn(case: Case, name: str, **view: Any) -> Any:
    panel = case_panels()[f"case-{name}"]
    assert panel.lacks(case) is None
    return panel.draw(case, View(**view))


def texts(figure: dict[str, Any]) -> str:
    return " ".join(one["text"] for one in figure["layout"]["annotations"])


def test_a_plane_shows_its_three_rows_and_only_classes_that_occur(case: Case) -> None:
    head, planes = parsed(drawn(case, "plane", sample=7))
    known = sorted({0, 2, *case.rows.labels[[7, 2, 9]].tolist()})
    assert head["classes"] == [case.classes[k] for k in known]
    assert planes[0, 0].tolist() == [known.index(k) for k in HALVES[0]]
    assert head["agreement"] == pytest.approx(4 / 6)
    assert head["rows"] == [7, 2, 9]
    assert head["pinned"] == [1.0, 1.0]
    assert [face[:2] for face in head["faces"]] == THREE["corners"].tolist()
    assert "row 2 (the nearest of another class)" in head["note"]


def test_a_plane_that_nobody_asked_about_yet_says_so(case: Case) -> None:
    with pytest.raises(BadInput, match="Evaluating both models on this plane"):
        drawn(case, "plane", sample=8)


def test_the_third_row_is_a_knob(case: Case) -> None:
    with pytest.raises(BadInput, match="Evaluating both models on this plane"):
        drawn(case, "plane", sample=7, knobs="third=4")


def test_margins_are_those_of_the_three_rows(case: Case) -> None:
    figure = drawn(case, "margins", sample=7)
    margin = {trace["uid"]: trace for trace in figure["data"]}
    assert margin["teacher margin"]["y"] == [2.0, 2.0, 1.0]
    assert margin["student margin"]["y"] == [1.0, 1.0, 2.0]
    assert margin["teacher pieces"]["y"] == [2]
    assert margin["student pieces"]["y"] == [3]
    assert "66.7%" in texts(figure)


def test_planes_through_random_rows_are_told_with_their_interval(case: Case, tmp_path: Path) -> None:
    several = {"agreement": np.array([0.8, 0.9, 1.0]), "fragments": np.array([[3, 5], [3, 5], [3, 5]])}
    again = case_factory.case(tmp_path, case.rows.labels, case.rows.student, case.rows.teacher, planes=several)
    figure = case_panels()["case-margins"].draw(again, View(sample=7))
    assert "3 planes through random rows: the same answer on 90.0% (95 % interval 65.2% to 100.0%)" in texts(figure)


def test_the_embedding_is_there_before_umap_and_takes_boxes_on_both_sides(case: Case) -> None:
    figure = drawn(case, "embedding", sample=3, beside=5)
    assert figure["layout"]["meta"] == {"box": "logits", "box2": "logits.teacher"}
    points = [trace for trace in figure["data"] if trace["uid"].startswith("student ") and "customdata" in trace]
    assert sorted(row for trace in points for row in trace["customdata"]) == list(range(200))
    pins = next(trace for trace in figure["data"] if trace["uid"] == "teacher pins")
    assert pins["x"] == pytest.approx(first_view(case)["teacher_x"][[3, 5]], rel=1e-3)
    assert {trace["meta"]["pick"] for trace in points} == {"sample={customdata}"}
    assert "two principal axes of the logits" in texts(figure)


def test_what_is_not_selected_turns_pale(case: Case) -> None:
    figure = drawn(case, "embedding", select="true=1", knobs="colour=class")
    named = {trace["name"]: trace for trace in figure["data"] if trace["uid"].startswith("student class")}
    assert "student not selected" in [trace["uid"] for trace in figure["data"]]
    assert "class 0" not in named
    assert len(named["class 1"]["customdata"]) == (case.rows.labels == 1).sum()


def test_kl_is_a_scale(case: Case) -> None:
    figure = drawn(case, "embedding", knobs="colour=kl")
    shown = next(trace for trace in figure["data"] if trace["uid"] == "student KL")
    assert shown["marker"]["color"] == pytest.approx(np.log10(np.maximum(case.rows.kl, 1e-4)), rel=1e-3)


def test_a_layout_by_umap_replaces_the_first_view(case: Case, tmp_path: Path) -> None:
    rows = case.rows
    places = {name: np.arange(200.0) for name in ("x", "y", "teacher_x", "teacher_y")}
    laid = {"laid": np.array(50), "of": np.array("features"), "neighbours": np.array(15), "apart": np.array(0.1)}
    again = case_factory.case(tmp_path, rows.labels, rows.student, rows.teacher, embedding=places | laid)
    figure = drawn(again, "embedding")
    assert figure["layout"]["meta"]["box"] == "embedding"
    assert "UMAP of features, 15 neighbours,<br>least distance 0.1<br>50 rows laid out" in texts(figure)


def test_a_case_without_teacher_has_one_side(case: Case, tmp_path: Path) -> None:
    alone = case_factory.case(tmp_path / "alone", case.rows.labels, case.rows.student)
    figure = drawn(alone, "embedding")
    assert not [trace for trace in figure["data"] if trace["uid"].startswith("teacher")]
    assert "xaxis2" not in figure["layout"]


def test_a_map_says_how_far_it_can_be_trusted(case: Case, tmp_path: Path) -> None:
    rows = case.rows
    x = np.where(np.arange(200) < 30, np.arange(200) / 6, np.nan)
    worth = {"nearest": np.array([0.9, 0.8]), "fidelity": np.array([1.0, 0.95])}
    worth |= {"weight": np.array(0.65), "segments": np.array(5)}
    again = case_factory.case(tmp_path, rows.labels, rows.student, rows.teacher, map=PLANE | worth | {"x": x, "y": x})
    head, _ = parsed(drawn(again, "map", sample=12))
    assert head["rows"] == list(range(30))
    assert head["pinned"] == [2.0, 2.0]
    assert "90% and 80%" in head["note"]


def test_a_map_waits_to_be_made(case: Case) -> None:
    panel = case_panels()["case-map"]
    assert "No map yet" in str(panel.lacks(case))
    with pytest.raises(BadInput, match="No map yet"):
        panel.table(case, View())


@pytest.mark.parametrize("name", ["plane", "margins", "embedding"])
def test_numbers_come_as_columns_of_one_length(case: Case, name: str) -> None:
    table = case_panels()[f"case-{name}"].table(case, View(sample=7))
    assert len({len(column) for column in table.values()}) == 1


def test_ways_are_told_for_the_rows_that_were_selected(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, probe = case.rows, np.arange(24)
    assert rows.teacher is not None
    frames = np.stack([rows.student[probe] * share for share in (0.1, 0.5, 1.0)])
    seen = Trail(np.array([1, 5, 9]), rows.index[probe], rows.labels[probe], rows.teacher[probe], frames, 3)
    monkeypatch.setattr(trails, "trail", lambda _: seen)
    figure = trails.draw(case, View(select="true=2", sample=100))
    lines = [trace for trace in figure["data"] if trace["uid"].startswith("way ")]
    twos = np.flatnonzero(rows.labels[probe] == 2)
    assert [trace["name"] for trace in lines] == ["class 2"]
    assert set(lines[0]["customdata"]) == set(twos.tolist())
    assert len(lines[0]["x"]) == 4 * len(twos)
    assert f"{len(twos)} of 24 probe rows" in texts(figure)
    table = trails.table(case, View(select="true=2", sample=100))
    assert table["step"] == [1, 5, 9] * len(twos)
