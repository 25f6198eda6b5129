"""Contrastive logits against a slow loop over pairs."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain
from torch import Tensor

from kdcore.methods.mcld import MCLD, row_contrast, same_class
from kdcore.nn.losses import info_nce, unit

torch.set_num_threads(1)
LEAST = 1e-4


def slow_cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = [max(LEAST, math.sqrt(sum(value**2 for value in part))) for part in (one, other)]
    return sum(a * b for a, b in zip(one, other, strict=True)) / (lengths[0] * lengths[1])


def slow_nce(queries: np.ndarray, keys: np.ndarray, temperature: float, hides: Callable[[int, int], bool]) -> float:
    losses = []
    for i, query in enumerate(queries):
        likeness = [slow_cosine(query, key) / temperature for key in keys]
        seen = [value for j, value in enumerate(likeness) if not hides(i, j)]
        losses.append(np.logaddexp.reduce(seen) - likeness[i])
    return float(np.mean(losses))


def nothing(*_: int) -> bool:
    return False


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_rows_and_columns_are_the_slow_loop(case: Case, temperature: float) -> None:
    student, teacher = plain(case[0]), plain(case[1])
    targets = case[2].tolist()

    def same(i: int, j: int) -> bool:
        return i != j and targets[i] == targets[j]

    for hides, hidden in ((nothing, None), (same, same_class(case[2]))):
        expected = slow_nce(student, teacher, temperature, hides) + slow_nce(teacher, student, temperature, hides)
        found = row_contrast(*case[:2], temperature, hidden).item()
        assert found == pytest.approx(expected, rel=1e-5, abs=2e-5)
    columns = slow_nce(student.T, teacher.T, temperature, nothing)
    assert info_nce(case[0].T, case[1].T, temperature).item() == pytest.approx(columns, rel=1e-5, abs=2e-5)


def test_two_orthogonal_rows_by_hand() -> None:
    assert info_nce(torch.eye(2), torch.eye(2) * 7, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert info_nce(torch.eye(2), torch.eye(2)[[1, 0]], 1.0).item() == pytest.approx(1 + math.log(1 + math.exp(-1)))


def test_one_row_has_nothing_to_tell_apart() -> None:
    assert info_nce(*CASES["one row"][:2], 0.1).item() == 0


def test_the_order_of_the_batch_does_not_matter() -> None:
    method, case = MCLD(), CASES["wide"]
    turned = tuple(part[[3, 0, 4, 1, 2]] for part in case)
    first, second = (method.terms(batch_of(method, one), None) for one in (case, turned))
    for name in first:
        torch.testing.assert_close(first[name].value, second[name].value)


def test_same_class_pairs_are_others_of_the_same_target() -> None:
    assert same_class(torch.tensor([0, 1, 0])).tolist() == [[False, False, True], [False] * 3, [True, False, False]]


def test_the_target_mask_only_lowers_the_contrast_of_rows() -> None:
    batch = batch_of(MCLD(), CASES["equal rows"])
    masked, bare = (MCLD(target_mask=mask).terms(batch, None) for mask in (True, False))
    assert masked["rows"].value.item() == 0  # all rows are of one class
    assert bare["rows"].value.item() == pytest.approx(2 * math.log(4))
    assert masked["classes"].value == bare["classes"].value


def test_weights_are_the_knobs_and_classes_fade_in() -> None:
    method = MCLD(label_weight=2.0, alpha=3.0, beta=4.0, warmup=0.5)
    batch = batch_of(method, CASES["random"])
    for progress, share in [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)]:
        terms = method.terms(batch._replace(progress=progress), None)
        assert [term.weight for term in terms.values()] == [2.0, 3.0, 4.0 * share]


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_the_temperature_is_the_knob(temperature: float) -> None:
    method, (student, teacher, _) = MCLD(temperature=temperature, target_mask=False), map(plain, CASES["wide"])
    terms = method.terms(batch_of(method, CASES["wide"]), None)
    rows = [slow_nce(*pair, temperature, nothing) for pair in ((student, teacher), (teacher, student))]
    assert terms["rows"].value.item() == pytest.approx(sum(rows), rel=1e-5)
    columns = slow_nce(student.T, teacher.T, temperature, nothing)
    assert terms["classes"].value.item() == pytest.approx(columns, rel=1e-5)


def test_units_have_length_one_and_a_row_of_zeros_pulls_little() -> None:
    assert unit(torch.tensor([[3.0, 4.0]])).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    student = torch.zeros(3, 4, requires_grad=True)
    info_nce(student, CASES["random"][1][:3, :4], 0.1).backward()
    assert student.grad.abs().max() <= 1e4 / 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    full: Tensor = info_nce(student.float(), teacher.float(), 0.1)
    assert torch.equal(info_nce(student, teacher, 0.1), full)
