"""Logits of one sample, the choice of samples, the field."""

from dataclasses import replace

import numpy as np
import pytest
from record_factory import Run, record

from kdcore.probes._numerics import kl_nats, softmax
from kdcore.probes.field import POINTS, coordinates, field, ground
from kdcore.probes.logits import logits
from kdcore.probes.samples import samples


def test_probabilities_are_softened_over_all_classes() -> None:
    seen = record(Run(classes=100))
    found = logits(seen, 7, 3.0)
    assert found.teacher is not None
    assert found.teacher.probability.sum() < 1
    likeliest = softmax(seen.static["teacher_logits"][7], 3.0).max()
    assert found.teacher.probability[0] == pytest.approx(likeliest)
    assert found.hidden == 100 - len(found.classes)
    assert found.kl_nats == pytest.approx(kl_nats(seen.static["teacher_logits"][7], seen.frame["student_logits"][7], 3))


def test_few_classes_keep_their_order() -> None:
    found = logits(record(Run(classes=20)), 0, 1.0)
    assert found.classes == tuple(f"class {k}" for k in range(20))
    assert found.label == record(Run(classes=20)).static["probe_labels"][0]


def test_a_label_beyond_the_likeliest_comes_last() -> None:
    seen = record(Run(classes=50, rows=1))
    label = int(seen.static["teacher_logits"][0].argmin())
    found = logits(replace(seen, static={**seen.static, "probe_labels": np.array([label])}), 0, 1.0)
    assert (len(found.classes), found.label, found.classes[-1]) == (21, 20, f"class {label}")


def test_a_pin_from_another_run_s_link_falls_on_the_last_row() -> None:
    assert logits(record(), 10_000, 1.0).sample == 63
    assert samples(record(), 10_000).pinned == 63


def test_names_that_the_run_has_not_said_are_numbers() -> None:
    assert logits(replace(record(), started=None), 0, 1.0).classes == ("0", "1", "2", "3")


def test_disagreements_come_first_by_falling_divergence() -> None:
    found = samples(record(Run(rows=200)), 5)
    differs = [sample.differs for sample in found.shown]
    gaps = [sample.gap_nats for sample in found.shown if sample.differs]
    assert differs == sorted(differs, reverse=True)
    assert gaps == sorted(gaps, reverse=True)
    assert 0 < len(gaps) < 60
    assert len(found.shown) == 60
    rest = [sample.row for sample in found.shown if not sample.differs]
    assert rest[1:] == sorted(rest[1:])
    assert found.pinned in [sample.row for sample in found.shown]


def test_the_pinned_row_is_shown_even_among_too_many_disagreements() -> None:
    seen = record(Run(rows=200))
    reverse = {**seen.frame, "student_logits": -seen.static["teacher_logits"]}
    rows = [sample.row for sample in samples(replace(seen, frame=reverse), 199, limit=10).shown]
    assert len(set(rows)) == 10
    assert 199 in rows


def test_without_a_teacher_the_label_takes_its_place() -> None:
    for sample in samples(record(Run(teacher=False)), 0).shown:
        assert sample.teacher is None
        assert sample.differs == (sample.student != sample.label)


def test_a_student_without_an_answer_has_none() -> None:
    seen = record(Run(rows=3))
    lost = replace(seen, frame={"student_logits": np.full((3, 4), np.nan)})
    assert [sample.student for sample in samples(lost, 0).shown] == [None] * 3


def test_the_field_s_agreement_is_a_share_of_the_plane() -> None:
    seen = record(Run(plane=10))
    found = field(seen, 0)
    assert list(found.planes)[-1] == "student_share_of_teacher_class"
    same = seen.static["teacher_field_class"] == seen.frame["field_class"]
    assert found.agreement == same.sum() / 100
    assert list(field(record(Run(plane=10, teacher=False)), 0).planes) == ["student_class", "student_share"]


def test_the_ground_is_thinned_and_spans_its_extent() -> None:
    seen = record(Run(plane=10))
    assert len(ground(seen.static, 10).points) == POINTS
    x, y = coordinates(seen.static["extent"], 10)
    assert (x[0, 0], x[0, -1], y[0, 0], y[-1, 0]) == (-2, 2, -1.5, 2.5)
