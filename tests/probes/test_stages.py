"""Scale, kinship, distance, likeness and attention, against slow loops and torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from record_factory import Run, record

from kdcore.probes._numerics import softmax
from kdcore.probes.affinity import affinity, kinship
from kdcore.probes.attention import attention, resized
from kdcore.probes.cka import cka
from kdcore.probes.kl_parts import kl_parts
from kdcore.probes.standardised import ROWS, scaled, spread_out, standardised


@given(st.integers(0, 200), st.integers(2, 20), st.integers(2, 40))
def test_rows_and_columns_are_standardised_one_by_one(seed: int, classes: int, rows: int) -> None:
    logits = np.random.default_rng(seed).normal(2, 5, size=(rows, classes))
    found = scaled(logits, np.arange(rows))
    for row in range(rows):
        mean, deviation = logits[row].mean(), logits[row].std(ddof=1) + 1e-7
        assert found.by_row[row] == pytest.approx((logits[row] - mean) / deviation, rel=1e-9)
    for k in range(classes):
        mean, deviation = logits[:, k].mean(), logits[:, k].std(ddof=1) + 1e-7
        assert found.by_column[:, k] == pytest.approx((logits[:, k] - mean) / deviation, rel=1e-9)
    assert found.spread == pytest.approx(np.mean([row.std(ddof=1) for row in logits]))
    assert found.largest == np.abs(logits).max()


def test_standardised_rows_know_no_shift_and_no_scale() -> None:
    logits = np.random.default_rng(0).normal(size=(9, 5))
    moved = 3 * logits + np.arange(9)[:, None]
    rows = np.arange(9)
    assert scaled(moved, rows).by_row == pytest.approx(scaled(logits, rows).by_row, abs=1e-5)
    assert scaled(moved, rows).spread == pytest.approx(3 * scaled(logits, rows).spread)


@given(st.integers(0, 200), st.integers(1, 12), st.integers(1, 120), st.integers(1, 50))
def test_classes_take_turns_and_lie_together(seed: int, classes: int, rows: int, limit: int) -> None:
    truth = np.random.default_rng(seed).integers(classes, size=rows)
    found = spread_out(truth, limit)
    assert len(set(found)) == len(found) == min(limit, rows)
    assert list(truth[found]) == sorted(truth[found])
    there, shown = np.bincount(truth, minlength=classes), np.bincount(truth[found], minlength=classes)
    most = shown.max()
    assert all(shown[k] >= min(there[k], most - 1) for k in range(classes))


def test_samples_of_both_networks_are_the_same_few() -> None:
    found = standardised(record(Run(classes=3, rows=90)))
    assert list(found.networks) == ["teacher", "student"]
    assert found.networks["student"].raw.shape == (ROWS, 3)
    assert list(standardised(record(Run(teacher=False))).networks) == ["student"]


@given(st.integers(0, 200), st.integers(2, 9), st.floats(0.2, 20))
def test_kinship_is_the_mean_answer_to_each_class(seed: int, classes: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    logits, truth = random.normal(size=(30, classes)) * 4, random.integers(classes, size=30)
    found = kinship(logits, truth, temperature)
    for true in range(classes):
        answers = [softmax(row, temperature) for row, label in zip(logits, truth, strict=True) if label == true]
        if answers:
            assert found[true] == pytest.approx(np.mean(answers, axis=0))
        else:
            assert np.isnan(found[true]).all()


def test_kinship_of_equal_networks_differs_nowhere() -> None:
    plain = record()
    found = affinity(replace(plain, frame={**plain.frame, "student_logits": plain.static["teacher_logits"]}), 4.0)
    assert not found.difference.any()
    assert found.correlation == pytest.approx(1.0)
    off = found.teacher[~np.eye(4, dtype=bool)]
    assert found.kin == off.max()


def test_both_parts_make_the_whole_distance() -> None:
    found = kl_parts(record())
    assert list(found.step) == [4, 8]
    assert found.target + found.rest == pytest.approx(np.full(2, 0.3))
    assert kl_parts(record(Run(teacher=False))).step.size == 0


def test_likeness_is_what_was_measured() -> None:
    assert np.array_equal(cka(record()).values, record().frame["cka"])


@pytest.mark.parametrize(("old", "new"), [((2, 2), (4, 4)), ((4, 3), (7, 9)), ((5, 5), (5, 5)), ((1, 1), (3, 2))])
def test_maps_grow_as_torch_grows_them(old: tuple[int, int], new: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(old)
    reference = F.interpolate(torch.from_numpy(image)[None, None], size=new, mode="bilinear", align_corners=False)
    assert resized(image, new) == pytest.approx(reference[0, 0].numpy())


def test_maps_are_compared_pair_by_pair() -> None:
    plain = record()
    theirs, ours = plain.static["teacher_maps"], np.zeros((3, 4, 4))
    ours[0], ours[1, 0, 0] = theirs[0] * 5, 1.0
    found = attention(replace(plain, frame={**plain.frame, "student_maps": ours}))
    assert found.sights[0].cosine == pytest.approx(1.0)
    assert found.sights[1].cosine == pytest.approx(theirs[1, 0, 0] / np.linalg.norm(theirs[1]))
    assert np.isnan(found.sights[2].cosine)
    assert found.cosine == pytest.approx((found.sights[0].cosine + found.sights[1].cosine) / 2)
    assert [sight.student.max() for sight in found.sights] == [1, 1, 0]
    assert [sight.asked for sight in found.sights] == [
        f"class {k}" for k in plain.static["teacher_logits"][:3].argmax(1)
    ]
