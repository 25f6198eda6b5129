"""Loss and accuracy over the steps."""

from dataclasses import replace

import numpy as np
import pytest
from record_factory import Run, fresh, record

from kdcore.events import Loss
from kdcore.probes.accuracy import accuracy
from kdcore.probes.loss import loss


def test_weighted_terms_add_up_to_the_loss() -> None:
    found = loss(record())
    assert sum(term.weighted for term in found.terms) == pytest.approx(found.total)
    assert [(term.name, term.reads_labels, term.rescaled) for term in found.terms] == [
        ("labels", True, True),
        ("kd", False, True),
    ]
    assert [(change.step, change.text) for change in found.changes] == [(5, "lr 0.1 → 0.05")]


@pytest.mark.parametrize(("values", "logarithmic"), [([1.0, 49.0], False), ([1.0, 51.0], True), ([-1.0, 51.0], False)])
def test_a_wide_range_is_logarithmic(values: list[float], logarithmic: bool) -> None:
    steps = tuple(
        step.model_copy(update={"loss": value, "terms": {"labels": Loss(weight=1, value=value)}})
        for step, value in zip(record().steps, values, strict=False)
    )
    assert loss(replace(record(), steps=steps)).logarithmic is logarithmic


def test_a_loss_that_is_no_number_is_named() -> None:
    seen = record()
    steps = (*seen.steps[:3], seen.steps[3].model_copy(update={"loss": float("nan")}))
    assert loss(replace(seen, steps=steps)).broken_at == 4
    assert loss(seen).broken_at is None


def test_a_term_that_comes_later_is_a_gap_before() -> None:
    seen = record()
    first = seen.steps[0].model_copy(update={"terms": {"labels": Loss(weight=1, value=1)}})
    found = loss(replace(seen, steps=(first, *seen.steps[1:])))
    assert np.isnan(found.terms[1].raw[0])
    assert not np.isnan(found.terms[1].raw[1:]).any()


def test_long_runs_are_thinned_and_keep_their_ends() -> None:
    found = loss(record(Run(steps=500)), limit=20)
    assert len(found.step) == 20
    assert (found.step[0], found.step[-1]) == (1, 500)


def test_what_a_source_tells_now_and_then_survives_the_thinning() -> None:
    seen = record(Run(steps=500))
    told = [step for step in seen.steps if step.step % 71 == 2]
    steps = tuple(
        step.model_copy(update={"source": {"generator": -step.step}} if step in told else {}) for step in seen.steps
    )
    found = loss(replace(seen, steps=steps), limit=20)
    assert found.step[found.told].tolist() == [step.step for step in told]
    assert found.source["generator"][found.told].tolist() == [-step.step for step in told]
    assert np.isnan(found.source["generator"][~found.told]).all()
    assert loss(seen).source == {}


def test_the_gap_is_in_points_and_the_test_stands_apart() -> None:
    found = accuracy(record())
    assert found.gap_points == pytest.approx(5.0)
    assert found.step.tolist() == [4, 8]
    assert found.final is not None
    assert (found.final.step, found.final.student, found.final.teacher) == (12, 0.9, 0.95)


def test_without_a_teacher_or_a_score_there_is_no_gap() -> None:
    assert accuracy(record(Run(teacher=False))).gap_points is None
    assert accuracy(fresh()).gap_points is None
