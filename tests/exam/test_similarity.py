"""Layer similarity, all pairs (CKA): its shape, its diagonal, and that it follows the selection."""

import numpy as np
import pytest

from kdcore.comparison.case import Case
from kdcore.comparison.similarity import similarity
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.comparison.tasks.similarity import staged, work
from kdcore.contracts.data import silent
from kdcore.errors import BadInput
from kdcore.runs.record import write_arrays


def test_every_stage_is_like_itself_and_maps_are_cut_in_their_places(pair: ComparedPair) -> None:
    found = work(pair, {}, silent)
    whole, stages = found["cka"], int(found["stages"])
    assert np.diag(whole) == pytest.approx(np.ones(len(whole)), abs=1e-5)
    assert whole == pytest.approx(whole.T, abs=1e-5)
    assert stages == len(staged(pair.student, pair.x[:2]))
    write_arrays(pair.folder / "similarity.npz", found)
    told = similarity(Case(pair.folder))
    assert [(one.of, one.with_) for one in told.maps] == [
        ("student", "teacher"),
        ("student", "student"),
        ("teacher", "teacher"),
    ]
    assert np.array_equal(told.maps[0].cka, whole[:stages, stages:])
    assert told.rows == len(pair.x)
    assert (told.maps[1].error >= 0).all()


def test_the_last_stage_is_the_logits(pair: ComparedPair) -> None:
    assert staged(pair.student, pair.x)[-1].numpy() == pytest.approx(pair.student.logits(pair.x).numpy())


def test_only_selected_rows_are_asked_about(pair: ComparedPair) -> None:
    found = work(pair, {"select": "true=0+1+2"}, silent)
    assert set(pair.labels[found["rows"]]) <= {0, 1, 2}
    assert str(found["select"]) == "true=0+1+2"
    assert np.isnan(found["error"]).any() or len(found["rows"]) >= 16
    assert len(work(pair, {"rows": 20}, silent)["rows"]) == 20


def test_too_few_rows_are_refused(pair: ComparedPair) -> None:
    with pytest.raises(BadInput, match="at least 8 rows, but 1 are"):
        work(pair, {"select": "rows=3"}, silent)
