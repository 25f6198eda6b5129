"""Pulls against autograd, and cosines against gradients that are really added."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from record_factory import Run, record

from kdcore.probes.tug import label_pull, teacher_pull, tug


@given(st.integers(0, 200), st.integers(2, 30), st.floats(0.3, 20))
def test_pulls_are_minus_autograd_s_gradients(seed: int, classes: int, temperature: float) -> None:
    teacher, student = np.random.default_rng(seed).normal(size=(2, classes)) * 4
    label = seed % classes
    leaf = torch.tensor(student, requires_grad=True)
    cross_entropy = -leaf.log_softmax(0)[label]
    log_p = torch.from_numpy(teacher / temperature).log_softmax(0)
    kd = temperature**2 * (log_p.exp() * (log_p - (leaf / temperature).log_softmax(0))).sum()
    (by_label,), (by_teacher,) = (torch.autograd.grad(loss, leaf) for loss in (cross_entropy, kd))
    assert label_pull(student, label) == pytest.approx(-by_label.numpy(), abs=1e-5)
    assert teacher_pull(student, teacher, temperature) == pytest.approx(-by_teacher.numpy(), abs=1e-5)


def with_gradients(names: list[str], gradients: np.ndarray) -> dict[str, np.ndarray]:
    norms = np.linalg.norm(gradients, axis=1)
    unit = gradients / np.maximum(norms, 1e-30)[:, None]
    return {"gradient_names": np.array(names), "gradient_norms": norms, "gradient_cosines": unit @ unit.T}


def test_labels_against_the_sum_of_all_others() -> None:
    gradients = np.random.default_rng(0).normal(size=(3, 40))
    seen = record()
    found = tug(replace(seen, frame={**seen.frame, **with_gradients(["kd", "labels", "hint"], gradients)}), 0, 4.0)
    ours, rest = gradients[1], gradients[0] + gradients[2]
    assert found.rest_cosine == pytest.approx(ours @ rest / np.linalg.norm(ours) / np.linalg.norm(rest))
    assert [term.cosine is None for term in found.terms] == [False, True, False]
    assert [term.reads_labels for term in found.terms] == [False, True, False]


@pytest.mark.parametrize("names", [[], ["kd"], ["labels"]])
def test_no_cosine_where_there_is_no_pair(names: list[str]) -> None:
    seen = record()
    frame = {**seen.frame, **with_gradients(names, np.ones((len(names), 3)))}
    found = tug(replace(seen, frame=frame), 0, 4.0)
    assert found.rest_cosine is None
    assert all(term.cosine is None for term in found.terms)


def test_a_term_that_pulls_at_nothing_has_no_direction() -> None:
    seen = record()
    frame = {**seen.frame, **with_gradients(["labels", "kd"], np.array([[1.0, 0.0], [0.0, 0.0]]))}
    assert tug(replace(seen, frame=frame), 0, 4.0).rest_cosine is None


def test_of_many_classes_the_likeliest_and_the_label_are_shown() -> None:
    found = tug(record(Run(classes=100)), 3, 4.0)
    assert len(found.classes) in (20, 21)
    assert len(found.classes) + found.hidden == 100
    assert found.classes[found.label] == f"class {record(Run(classes=100)).static['probe_labels'][3]}"
