"""Panels of the section Inside: what they draw is a valid figure, what they lack is a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from case_factory import case, random_case

from app.panels import CASE, View, panel
from kdcore.comparison.case import Case, write_about
from kdcore.comparison.question import FILE, Party, Question
from kdcore.runs.record import write_arrays
from kdcore.spec.spec import Choice

ANSWERED = ("confusion", "affinity", "course", "triangle")
MEASURED = ("similarity", "conflict", "knowledge", "knowledge_course", "augment", "line")


def measured() -> dict[str, dict[str, np.ndarray]]:
    """What the tasks leave behind."""
    rng = np.random.default_rng(0)
    return {
        "similarity": {
            "cka": rng.random((5, 5)).astype(np.float32),
            "error": rng.random((5, 5)).astype(np.float32),
            "stages": np.array(3),
            "rows": np.arange(30),
            "select": np.array("true=1"),
        },
        "conflict": {
            "stages": np.array(["stage 1", "head", "all"]),
            "batch": rng.normal(size=(8, 3, 3)),
            "class": np.where(rng.random((2, 3, 3)) < 0.2, np.nan, rng.random((2, 3, 3))),
            "classes": np.array([0, 1]),
            "rows": np.array([64, 9]),
            "batch_rows": np.array(64),
            "terms": np.array(["kd"]),
            "labels_taken": np.array(True),
        },
        "knowledge": {
            "student": rng.normal(size=(5, 4, 4)),
            "teacher": rng.normal(size=(5, 4, 4)),
            "foreground": rng.random((5, 4, 4)) < 0.5,
            "rows": np.arange(5),
            "course": rng.normal(size=(3, 5, 4, 4)),
            "steps": np.array([10, 20, 30]),
            "moved": np.array([0.5, 0.8, 1.0]),
            "select": np.array(""),
        },
        "augment": {
            "family": np.array(["shift", "shift", "noise"]),
            "strength": np.array([0.0, 1.0, 0.0]),
            "unit": np.array(["pixels", "pixels", "of the range"]),
            "right": rng.random((2, 3, 30)) < 0.7,
            "same": rng.random((3, 30)) < 0.7,
            "kl": rng.random((3, 30)),
            "rows": np.arange(30),
            "select": np.array("true=1"),
        },
        "line": {
            "share": np.linspace(0, 1, 5),
            "loss": rng.random((2, 5)),
            "error": rng.random((2, 5)) / 10,
            "right": rng.integers(0, 50, (2, 5)).astype(float),
            "rows": np.array([50, 50]),
            "other": np.array("another run"),
        },
    }


def whole(folder: Path, rows: int = 60, classes: int = 4, teacher: bool = True) -> Case:
    """A case whose every task is done, and whose student kept frames."""
    found = random_case(folder / "case", rows, classes)
    rng = np.random.default_rng(1)
    static = {"probe_labels": found.rows.labels[:20], "probe_index": np.arange(20)}
    static |= {"teacher_logits": rng.normal(size=(20, classes))} if teacher else {}
    write_arrays(folder / "run" / "static.npz", static)
    for step in (0, 10, 20):
        write_arrays(folder / "run" / "frames" / f"{step:08d}.npz", {"student_logits": rng.normal(size=(20, classes))})
    question = Question(data=Choice(name="digits"), student=Party(title="student", folder=str(folder / "run")))
    for name, arrays in measured().items():
        write_arrays(found.folder / f"{name}.npz", arrays)
    (found.folder / FILE).write_text(question.model_dump_json())
    if not teacher:
        write_arrays(
            found.folder / "rows.npz", {"labels": found.rows.labels, "student_logits": found.rows.student}, False
        )
    return Case(found.folder)


def drawn(one: Case, name: str, **view: Any) -> dict[str, Any]:
    found = panel(CASE + name).draw(one, View(**view))
    assert isinstance(found, dict)
    return json.loads(json.dumps(found, allow_nan=False))


@pytest.mark.parametrize("classes", [2, 4, 30])
@pytest.mark.parametrize("name", [*ANSWERED, *MEASURED])
def test_each_panel_draws_a_valid_figure_and_a_table_of_equal_columns(tmp_path: Path, name: str, classes: int) -> None:
    one = whole(tmp_path, classes=classes)
    if panel(CASE + name).lacks(one) is not None:
        assert (name, classes) == ("triangle", 2)
        return
    for view in (View(), View(theme="dark", select="true=1", temperature=1.0, at=12, sample=3, beside=5)):
        go.Figure(panel(CASE + name).draw(one, view))
        assert len({len(column) for column in panel(CASE + name).table(one, view).values()}) == 1
    json.dumps(panel(CASE + name).draw(one, View(select="rows=1")), allow_nan=False)


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_not_measured_is_one_sentence(tmp_path: Path, name: str) -> None:
    said = panel(CASE + name).lacks(random_case(tmp_path))
    assert said is not None
    assert said.endswith(".")


def test_without_a_teacher_the_student_stands_alone(tmp_path: Path) -> None:
    one = whole(tmp_path, teacher=False)
    assert len(drawn(one, "confusion")["data"]) == len(drawn(one, "course")["data"]) == 1
    assert panel(CASE + "affinity").lacks(one) == "There is no teacher to compare the student with."


def test_a_cell_is_picked_by_its_place(tmp_path: Path) -> None:
    figure = drawn(whole(tmp_path), "confusion")
    picks = [trace["meta"]["pick"] for trace in figure["data"]]
    assert picks == ["true={row};teacher={column}", "true={row};student={column}", "true={row};student={column}"]


def test_the_matrix_follows_the_step(tmp_path: Path) -> None:
    one = whole(tmp_path)
    texts = [drawn(one, "confusion", at=at)["layout"]["annotations"][-1]["text"] for at in (None, 12)]
    said = [text.partition("<br>")[2] for text in texts]
    assert [text[:2] for text in texts] == ["60", "20"]
    assert said == ["student", "student at step 10, on the run's probe rows"], "of a file nobody knows the steps"
    about = one.about.model_copy(update={"student": one.about.student.model_copy(update={"run": "abc"})})
    write_about(one.folder, about)
    assert drawn(Case(one.folder), "confusion")["layout"]["annotations"][-1]["text"].endswith("after its last step")
    assert drawn(one, "course", at=12)["layout"]["shapes"][0]["x0"] == 0.5


def test_a_chosen_change_and_chosen_corners_are_shown(tmp_path: Path) -> None:
    one = whole(tmp_path)
    assert drawn(one, "similarity", knobs="pair=teacher-teacher")["data"][0]["uid"] == "teacher-teacher"
    assert drawn(one, "augment", knobs="change=noise")["layout"]["xaxis"]["title"]["text"].startswith("noise")
    corners = drawn(one, "triangle", knobs="three=3+0+2")["layout"]["annotations"][:3]
    assert [note["text"] for note in corners] == ["<b>class 3</b>", "<b>class 0</b>", "<b>class 2</b>"]


def test_a_pinned_row_stands_out_in_the_triangle(tmp_path: Path) -> None:
    figure = drawn(whole(tmp_path), "triangle", sample=7)
    for trace in figure["data"][-2:]:
        sizes = dict(zip(trace["customdata"], trace["marker"]["size"], strict=True))
        assert [row for row, size in sizes.items() if size == max(sizes.values())] == [7]


def test_all_classes_together_select_nothing_and_a_class_selects_itself(tmp_path: Path) -> None:
    picks = drawn(whole(tmp_path), "conflict")["data"][0]["customdata"]
    assert picks == [["", "", ""], ["0", "0", "0"], ["1", "1", "1"]]


def test_the_barrier_is_told_beside_the_line(tmp_path: Path) -> None:
    one = whole(tmp_path)
    told = [float(value) for value in barriers(one)]
    text = drawn(one, "line")["layout"]["annotations"][0]["text"]
    assert f"training {told[0]:.3f} and validation {told[1]:.3f}" in text


def barriers(one: Case) -> list[float]:
    """By the definition, from what was measured."""
    part = one.part("line")
    straight = part["loss"][:, :1] + part["share"] * (part["loss"][:, -1:] - part["loss"][:, :1])
    return (part["loss"] - straight).max(1).tolist()


def test_unlabelled_rows_confuse_nobody(tmp_path: Path) -> None:
    one = case(tmp_path, np.full(3, -1), np.eye(3), np.eye(3))
    assert "label" in str(panel(CASE + "confusion").lacks(one))


@pytest.mark.parametrize("name", [*ANSWERED, *MEASURED])
def test_traces_are_named_so_that_the_browser_can_take_them_down(tmp_path: Path, name: str) -> None:
    """Plotly looks for a class made of each trace's uid when a figure goes; brackets there are no valid selector."""
    uids = [trace["uid"] for trace in drawn(whole(tmp_path), name)["data"]]
    assert len(set(uids)) == len(uids)
    assert not any(set(uid) & set("()[]{}.,:;#+=%/\\'\"") for uid in uids)
