"""Places of rows: projections, Procrustes, neighbours, and which rows are drawn."""

from pathlib import Path

import case_factory
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import procrustes
from sklearn.decomposition import PCA

from kdcore.comparison import embedding
from kdcore.comparison.selection import mask, told
from kdcore.errors import BadInput


@given(seed=st.integers(0, 1000), angle=st.floats(0, 6.28), scale=st.floats(0.1, 10), mirrored=st.booleans())
def test_procrustes_undoes_a_turn_a_mirror_a_scale_and_a_shift(
    seed: int, angle: float, scale: float, mirrored: bool
) -> None:
    onto = np.random.default_rng(seed).normal(size=(20, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = scale * onto @ turn @ np.diag([1, -1 if mirrored else 1]) + [3, -7]
    assert embedding.aligned(moved, onto) == pytest.approx(onto, abs=1e-8)


def test_procrustes_leaves_what_scipy_leaves() -> None:
    rng = np.random.default_rng(0)
    onto, moved = rng.normal(size=(2, 30, 2))
    left = ((embedding.aligned(moved, onto) - onto) ** 2).sum() / ((onto - onto.mean(0)) ** 2).sum()
    assert left == pytest.approx(procrustes(onto, moved)[2])


def test_rows_without_numbers_stay_out_of_it() -> None:
    onto = np.array([[0.0, 0], [1, 0], [0, 1], [5, 5]])
    moved = np.array([[0.0, 0], [2, 0], [0, 2], [np.nan, 0]])
    assert embedding.aligned(moved, onto)[:3] == pytest.approx(onto[:3])
    assert np.isfinite(embedding.projected(np.array([[0.0, 1, np.inf], [1, 2, 3], [3, 1, 2]]))[1:]).all()


def test_a_projection_is_that_of_scikit_learn_up_to_signs() -> None:
    values = np.random.default_rng(0).normal(size=(50, 6)) * [5, 3, 1, 1, 0.5, 0.1]
    ours, theirs = embedding.projected(values), PCA(2).fit_transform(values)
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-8)


def test_two_dimensions_keep_their_distances() -> None:
    values = np.random.default_rng(0).normal(size=(9, 2))
    places = embedding.projected(values)
    gaps = [np.linalg.norm(one[:, None] - one, axis=-1) for one in (values, places)]
    assert gaps[0] == pytest.approx(gaps[1])


def test_rows_that_were_not_laid_out_stand_amid_their_nearest() -> None:
    values = np.array([[0.0], [1.0], [10.0], [0.6]])
    places = np.array([[0.0, 0.0], [2.0, 0.0], [9.0, 9.0]])
    found = embedding.placed_by_neighbours(values, np.array([0, 1, 2]), places, count=2)
    assert found.tolist() == [[0, 0], [2, 0], [9, 9], [1, 0]]


def test_the_first_view_is_there_at_once_and_can_be_boxed(tmp_path: Path) -> None:
    case = case_factory.random_case(tmp_path)
    plane = embedding.first_view(case)
    assert plane["x"].shape == plane["teacher_y"].shape == (200,)
    own = np.mean((plane["x"] - plane["teacher_x"]) ** 2 + (plane["y"] - plane["teacher_y"]) ** 2)
    mixed = np.mean((plane["x"] - plane["teacher_x"][::-1]) ** 2 + (plane["y"] - plane["teacher_y"][::-1]) ** 2)
    assert own < mixed / 2
    text = "box.logits=0,1000,-1000,1000"
    assert mask(case, text).tolist() == (plane["x"] >= 0).tolist()
    assert mask(case, text.replace("logits", "logits.teacher")).tolist() == (plane["teacher_x"] >= 0).tolist()
    assert told(case, "box.logits.teacher=0,1,0,1")[0][1] == "a box in the logits, teacher's places"
    with pytest.raises(BadInput, match="no plane named"):
        mask(case, "box.embedding=0,1,0,1")


def test_selected_and_disagreeing_rows_are_drawn_before_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "DRAWN", 60)
    case = case_factory.random_case(tmp_path)
    rows, plane = case.rows, embedding.first_view(case)
    differs = np.flatnonzero(rows.student_top != rows.teacher_top)
    found = embedding.drawn(rows, plane, None, (3,))
    assert len(found.rows) == 60
    assert found.hidden == 140
    assert {3, *differs} <= set(found.rows)
    assert set(found.ways) == set(differs)
    assert np.all(np.diff(rows.kl[found.ways]) <= 0)
    meant = np.arange(200) < 40
    chosen = embedding.drawn(rows, plane, meant, ())
    assert set(range(40)) <= set(chosen.rows)
    assert chosen.meant.sum() == 40


def test_rows_left_out_of_a_layout_are_not_drawn(tmp_path: Path) -> None:
    case = case_factory.random_case(tmp_path, rows=20)
    x = np.where(np.arange(20) < 5, np.nan, 1.0)
    found = embedding.drawn(case.rows, {"x": x, "y": x}, None, (0,))
    assert found.rows.tolist() == list(range(5, 20))
    assert found.hidden == 0
