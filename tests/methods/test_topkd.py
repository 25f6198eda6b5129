"""TopKD against a slow loop over ranks and groups."""

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain
from torch import Tensor

from kdcore.methods.topkd import TopKD, direction_loss, ranks, top_scaled
from kdcore.nn.losses import cross_entropy, info_nce

torch.set_num_threads(1)


def slow_scaled(teacher: Tensor, targets: Tensor, top: int, boost: float, shift: float) -> np.ndarray:
    found = []
    for row, y in zip(plain(teacher), targets.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda c: -row[c])
        count = min(top, len(row))
        chosen, others = order[:count], order[count:]
        added = shift * (np.mean(row[chosen]) - np.mean(row[others])) if others else 0.0
        scaled = row.copy()
        for rank, c in enumerate(chosen):
            scaled[c] = row[c] * (1 + boost * (count - rank) / count) + added
        scaled[y] = row[y] * (1 + boost) + added
        found.append(scaled)
    return np.array(found)


def slow_direction(student: Tensor, target: np.ndarray, top: int, alpha: float, beta: float) -> float:
    losses = []
    for s, z in zip(plain(student), target, strict=True):
        rising = sorted(range(len(z)), key=lambda c: z[c])
        positive = [c for c in rising[-top:] if z[c] > 0]
        negative = [c for c in rising[:top] if z[c] < 0]
        rest = [c for c in rising if c not in positive and c not in negative]
        loss = 0.0
        for weight, group in ((alpha, positive), (beta, negative), (1.0, rest)):
            lengths = [max(1e-4, float(np.linalg.norm(part[group]))) for part in (s, z)]
            loss += weight * (1 - float(s[group] @ z[group]) / (lengths[0] * lengths[1])) if group else 0.0
        losses.append(loss)
    return float(np.mean(losses))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("top", [1, 2, 3, 50])
def test_scaling_is_the_slow_loop(case: Case, top: int) -> None:
    expected = slow_scaled(case[1], case[2], top, 0.5, 0.3)
    np.testing.assert_allclose(top_scaled(case[1], case[2], top, 0.5, 0.3).numpy(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("top", [1, 2, 50])
def test_direction_is_the_slow_loop(case: Case, top: int) -> None:
    student, teacher, _ = case
    target = teacher + 0.1 * torch.arange(teacher.shape[1])  # no two alike, as groups are cut by rank
    found = direction_loss(student, target, top, 2.0, 3.0).item()
    assert found == pytest.approx(slow_direction(student, plain(target), top, 2.0, 3.0), rel=1e-5, abs=1e-5)


def test_scaling_by_hand() -> None:
    teacher, targets = torch.tensor([[4.0, 2.0, 0.0, 1.0]]), torch.tensor([3])
    # the two largest at 1.5 and 1.25 times, the label at 1.5 times; the gap of means is 3 - .5, a tenth of it is .25
    assert top_scaled(teacher, targets, 2, 0.5, 0.1).tolist() == [[6.25, 2.75, 0.0, 1.75]]


def test_without_boost_and_shift_the_teacher_stays_as_it_is() -> None:
    _, teacher, targets = CASES["wide"]
    assert torch.equal(top_scaled(teacher, targets, 3, 0.0, 0.0), teacher)
    assert ranks(torch.tensor([[1.0, 3.0, 2.0]])).tolist() == [[2, 0, 1]]


def test_a_positive_multiple_on_each_group_is_zero() -> None:
    target = CASES["wide"][1]
    assert direction_loss(3 * target, target, 2, 1.0, 1.0).item() == pytest.approx(0, abs=1e-6)
    assert direction_loss(-target, target, 2, 1.0, 1.0).item() == pytest.approx(6, abs=1e-5)


def test_it_shows_and_counts_what_the_scaling_changes() -> None:
    method = TopKD(top=1, boost=9.0)
    teacher = torch.tensor([[1.0, 0.9, 0.0], [1.0, 0.9, 0.0]])
    batch = batch_of(method, (torch.zeros(2, 3), teacher, torch.tensor([0, 1])))
    first = top_scaled(teacher, batch.labels, 1, 9.0, 0.1)
    assert first.argmax(1).tolist() == [0, 0]  # the largest logit is amplified as much as the true one
    assert method.metrics(batch, None)["teacher_repaired"] == 0
    wrong = batch._replace(labels=torch.tensor([0, 1]), teacher=batch.teacher._replace(logits=-teacher[:, [2, 0, 1]]))
    repaired = top_scaled(wrong.teacher.logits, wrong.labels, 1, 9.0, 0.1).argmax(1)
    expected = (repaired != wrong.teacher.logits.argmax(1)).float().mean()
    assert method.metrics(wrong, None)["teacher_repaired"] == expected
    torch.testing.assert_close(method.arrays(batch, None)["target"], first.softmax(1))


def test_terms_are_labels_direction_and_contrast_with_their_knobs() -> None:
    method = TopKD(top=2, label_weight=2.0, alpha=3.0, beta=4.0, contrast_weight=5.0)
    student, teacher, targets = CASES["wide"]
    terms = method.terms(batch_of(method, CASES["wide"]), None)
    assert [term.weight for term in terms.values()] == [2.0, 1.0, 5.0]
    assert terms["labels"].value == cross_entropy(student, targets)
    scaled = slow_scaled(teacher, targets, 2, 0.5, 0.1)
    assert terms["direction"].value.item() == pytest.approx(slow_direction(student, scaled, 2, 3.0, 4.0), rel=1e-5)
    both = info_nce(student, teacher, 0.1) + info_nce(teacher, student, 0.1)
    torch.testing.assert_close(terms["contrast"].value, both / 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    targets = CASES["huge"][2]
    scaled = top_scaled(teacher, targets, 2, 0.5, 0.1)
    assert torch.equal(scaled, top_scaled(teacher.float(), targets, 2, 0.5, 0.1))
    assert direction_loss(student, scaled, 2, 1.0, 1.0) == direction_loss(student.float(), scaled, 2, 1.0, 1.0)
