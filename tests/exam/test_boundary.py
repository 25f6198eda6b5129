"""Planes and embeddings of two small trained networks; UMAP's place is taken by a stand-in."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from kdcore.comparison.case import Case
from kdcore.comparison.tasks import embedding, plane, planes
from kdcore.comparison.tasks import map as maps
from kdcore.comparison.tasks._umap import EPOCHS, together
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import silent
from kdcore.errors import BadInput

SMALL = (4, 9)  # an odd number of points, so that one is in the middle


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "SIZES", SMALL)


def test_the_three_rows_have_their_own_answers_at_their_places(pair: ComparedPair) -> None:
    name = plane.answer(pair, {"row": 3, "beside": 10})["name"]
    found = Case(pair.folder).part(name)
    assert name == "plane-3-10-x"
    assert found["rows"][:2].tolist() == [3, 10]
    assert found["near"][:3].tolist() == found["rows"].tolist()
    assert found["student_class"].shape == (9, 9)
    laid = plane.through(*plane.flat(pair, found["rows"].tolist()))
    told = plane.asking(pair, pair.student, laid)(found["corners"])
    assert told == pytest.approx(pair.student.logits(pair.x[found["rows"]]).numpy(), abs=1e-3)
    shares = torch.from_numpy(told).softmax(1)
    assert shares.argmax(1).tolist() == pair.student.logits(pair.x[found["rows"]]).argmax(1).tolist()


def test_a_plane_is_asked_about_once(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.answer(pair, {"row": 0, "third": 5})
    monkeypatch.setattr(plane, "asked", lambda *_: pytest.fail("asked again"))
    assert plane.answer(pair, {"row": 0, "third": 5})["name"] == "plane-0-x-5"


def test_only_the_newest_planes_are_kept(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "KEPT", 2)
    for row in range(4):
        plane.answer(pair, {"row": row})
    assert sorted(path.stem for path in pair.folder.glob("plane-*.npz")) == ["plane-2-x-x", "plane-3-x-x"]


def test_a_row_that_is_not_there_is_told_of(pair: ComparedPair) -> None:
    with pytest.raises(BadInput, match="Rows are numbered 0 to 79"):
        plane.answer(pair, {"row": 80})


def first_two(values: list[np.ndarray], *_: float) -> list[np.ndarray]:
    return [one[:, :2] for one in values]


def test_an_embedding_has_a_place_for_every_row(pair: ComparedPair) -> None:
    found = embedding.work(pair, {"rows": 50}, silent, first_two)
    assert found is not None
    features = pair.teacher.features(pair.x).numpy()  # type: ignore[union-attr]
    laid = np.unique(np.linspace(0, 79, 50).round().astype(int))
    assert int(found["laid"]) == 50
    assert found["teacher_x"][laid] == pytest.approx(features[laid, 0])
    assert np.isfinite(found["x"]).all()
    assert str(found["of"]) == "features"


def test_logits_are_laid_out_where_they_are_asked_for(pair: ComparedPair) -> None:
    found = embedding.work(pair, {"of": "logits"}, silent, first_two)
    assert found is not None
    assert found["x"] == pytest.approx(Case(pair.folder).rows.student[:, 0])


@pytest.mark.soak
def test_umap_lays_both_out_alike_and_again_the_same() -> None:
    shares: list[float] = []
    lay = together(shares.append)
    values = np.random.default_rng(0).normal(size=(60, 5)) + 6 * (np.arange(60) % 2)[:, None]
    ours, theirs = lay([values, values + 0.01], 5, 0.1)
    assert np.array_equal(ours, lay([values, values + 0.01], 5, 0.1)[0])
    apart = np.linalg.norm(ours[0::2].mean(0) - ours[1::2].mean(0))
    assert np.linalg.norm(ours - theirs, axis=1).mean() < apart / 4
    assert shares == pytest.approx([epoch / (3 * EPOCHS) for epoch in range(3 * EPOCHS)] * 2)


def principal(distances: np.ndarray, _: int) -> np.ndarray:
    return distances[:, :2]


def test_a_map_has_places_for_the_rows_it_shows(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "SIZE", 7)
    found = maps.work(pair, {"rows": 20, "select": "true=3"}, silent, principal)
    assert found is not None
    threes = np.flatnonzero(pair.labels == 3)
    assert np.isfinite(found["x"]).sum() == 20
    assert np.isfinite(found["x"][threes]).all()
    assert found["teacher_class"].shape == (7, 7)
    assert ((found["nearest"] >= 0) & (found["nearest"] <= 1)).all()
    assert found["fidelity"].shape == (2,)


def test_the_way_between_two_rows_is_as_long_as_the_models_say(pair: ComparedPair) -> None:
    x = plane.flat(pair, [0, 1, 1])
    told = maps._told(pair, pair.student, x, 0, silent)
    assert told == pytest.approx(told.T)
    assert told[1, 2] == pytest.approx(0, abs=1e-4)
    steps = np.stack([x[0] + part * (x[1] - x[0]) for part in np.linspace(0, 1, maps.SEGMENTS + 1)])
    shares = maps._shares(pair, pair.student, steps)
    assert told[0, 1] == pytest.approx(sum(jensenshannon(*two) for two in pairwise(shares)), abs=1e-5)


def test_a_selection_that_names_nothing_known_stops_the_map(pair: ComparedPair) -> None:
    with pytest.raises(BadInput, match="no column named"):
        maps.work(pair, {"select": "colour=3"}, silent, principal)


def test_random_planes_are_drawn_again_the_same_and_measured(
    pair: ComparedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes, "SIZE", 6)
    found, again = (planes.work(pair, {"planes": 3}, silent) for _ in range(2))
    assert found is not None
    assert again is not None
    assert np.array_equal(found["rows"], again["rows"])
    assert [len(set(pair.labels[rows])) for rows in found["rows"]] == [3, 3, 3]
    assert ((found["agreement"] >= 0) & (found["agreement"] <= 1)).all()
    assert found["margin"].shape == (3, 3, 2)
    assert not np.array_equal(planes.work(pair, {"planes": 3, "seed": 1}, silent)["rows"], found["rows"])  # type: ignore[index]
