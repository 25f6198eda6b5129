"""Panels of the section Calibration: what they draw is a valid figure, what they lack is a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from case_factory import case, random_case

from app.panels import CASE, View, panel
from app.panels.cases import _claims
from kdcore.comparison.case import Case
from kdcore.comparison.question import FILE, Party, Question
from kdcore.comparison.selection import mask
from kdcore.runs.record import write_arrays
from kdcore.spec.spec import Choice

ANSWERED = ("reliability", "scores", "by_answer", "risk", "temperature", "heritage")
FOLLOWED = ("calibration_path", "reliability_play")
VIEWS = (View(), View(theme="dark", select="true=1", knobs="bins=mass"), View(select="true=1;rows=0"))


def followed(folder: Path, classes: int = 4, rows: int = 120) -> Case:
    """A case whose student kept three frames."""
    found = random_case(folder / "case", rows, classes)
    rng = np.random.default_rng(1)
    static = {"probe_labels": found.rows.labels[:20], "probe_index": np.arange(20)}
    write_arrays(folder / "run" / "static.npz", static | {"teacher_logits": rng.normal(size=(20, classes))})
    for step in (0, 10, 20):
        write_arrays(folder / "run" / "frames" / f"{step:08d}.npz", {"student_logits": rng.normal(size=(20, classes))})
    question = Question(data=Choice(name="digits"), student=Party(title="student", folder=str(folder / "run")))
    (found.folder / FILE).write_text(question.model_dump_json())
    return Case(found.folder)


def figure(one: Case, name: str, view: View) -> dict[str, Any]:
    found = panel(CASE + name).draw(one, view)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    if "rows" in found:  # a table
        assert {len(row["cells"]) for row in found["rows"]} <= {len(found["columns"])}
        return found
    go.Figure({key: found[key] for key in ("data", "layout")}, frames=found.get("frames"))
    assert len({trace["uid"] for trace in found["data"]}) == len(found["data"])
    return found


@pytest.mark.parametrize("classes", [2, 4, 30])
@pytest.mark.parametrize("name", ANSWERED + FOLLOWED)
def test_each_draws_a_valid_figure_and_a_table_of_equal_columns(tmp_path: Path, name: str, classes: int) -> None:
    one = followed(tmp_path, classes)
    assert panel(CASE + name).lacks(one) is None
    for view in VIEWS:
        figure(one, name, view)
        columns = panel(CASE + name).table(one, view)
        assert len({len(column) for column in columns.values()}) == 1
        json.dumps(columns, allow_nan=False)


@pytest.mark.parametrize("name", ANSWERED + FOLLOWED)
def test_what_is_missing_is_one_sentence(tmp_path: Path, name: str) -> None:
    unlabelled = case(tmp_path, np.full(20, -1), np.random.default_rng(0).normal(size=(20, 3)))
    missing = panel(CASE + name).lacks(unlabelled)
    assert missing is not None
    assert missing.endswith(".")


@pytest.mark.parametrize("name", ANSWERED)
def test_one_labelled_row_and_answers_without_end_are_drawn(tmp_path: Path, name: str) -> None:
    logits = np.array([[1.0, 0.0], [np.nan, 0.0], [1e30, -1e30]])
    one = case(tmp_path, np.array([0, 1, -1]), logits, logits)
    figure(one, name, View())


@pytest.mark.parametrize(("bins", "uid"), [("width", "{} count"), ("width", "{}"), ("mass", "{}")])
def test_a_click_on_a_bin_selects_its_rows(tmp_path: Path, bins: str, uid: str) -> None:
    one, view = followed(tmp_path), View(knobs=f"bins={bins}")
    traces = {trace["uid"]: trace for trace in figure(one, "reliability", view)["data"]}
    for model in ("student", "teacher"):
        told, drawn = _claims.diagrams(one, view)[model], traces[uid.format(model)]
        picked = [drawn["meta"]["pick"].format(customdata=at) for at in drawn["customdata"]]
        counts = told.count if uid.endswith("count") else told.count[told.count > 0]
        assert [int(mask(one, text).sum()) for text in picked] == counts.tolist()
    assert "meta" not in traces["scaled"]


def test_a_selected_bin_is_marked_and_its_panel_still_shows_all(tmp_path: Path) -> None:
    one = followed(tmp_path)
    before, after = (figure(one, "reliability", View(select=text)) for text in ("", "student confidence=0.8.."))
    assert after["data"] == before["data"]
    assert (after["layout"]["shapes"][0]["x0"], after["layout"]["shapes"][0]["x1"]) == (0.8, 1.0)
    assert figure(one, "risk", View(select="student confidence=0.8.."))["data"] != figure(one, "risk", View())["data"]


def test_the_course_follows_a_selection_of_probe_rows(tmp_path: Path) -> None:
    one = followed(tmp_path)
    said = figure(one, "calibration_path", View(select="rows=3+4+50"))["layout"]["xaxis"]["title"]["text"]
    assert "2 probe rows" in said


def test_each_recorded_step_is_a_frame_that_the_slider_names(tmp_path: Path) -> None:
    found = figure(followed(tmp_path), "reliability_play", View())
    assert [frame["name"] for frame in found["frames"]] == ["0", "10", "20"]
    assert [step["args"][0][0] for step in found["layout"]["sliders"][0]["steps"]] == ["0", "10", "20"]
    assert found["frames"][-1]["data"][0] == found["data"][1]
