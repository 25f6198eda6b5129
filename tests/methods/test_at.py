"""Attention transfer against a slow loop, by hand, and what it does not see."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from situation import nets, pair, situation
from slow import normal as draw
from torch import Tensor

from kdcore.errors import BadInput
from kdcore.methods.at import AT, attention, attention_loss

torch.set_num_threads(1)


def slow_attention(feature: np.ndarray) -> list[float]:
    """Of one row (K, H, W), in float64."""
    channels, height, width = feature.shape
    places = product(range(height), range(width))
    energy = [sum(float(feature[k, i, j]) ** 2 for k in range(channels)) / channels for i, j in places]
    length = math.sqrt(sum(value**2 for value in energy))
    return [value / length if length else 0.0 for value in energy]


def slow_halves(feature: np.ndarray) -> np.ndarray:
    """Of one row (K, 2H, 2W), the mean over squares of four."""
    channels, height, width = feature.shape
    found = np.zeros((channels, height // 2, width // 2))
    for k, i, j in product(range(channels), range(height), range(width)):
        found[k, i // 2, j // 2] += feature[k, i, j] / 4
    return found


def slow_loss(student: Tensor, teacher: Tensor) -> float:
    gaps = []
    for s, t in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        s = slow_halves(s) if s.shape[1] > t.shape[1] else s
        t = slow_halves(t) if t.shape[1] > s.shape[1] else t
        gaps += [(a - b) ** 2 for a, b in zip(slow_attention(s), slow_attention(t), strict=True)]
    return sum(gaps) / len(gaps)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("ours", "theirs"), [((3, 4, 4), (5, 4, 4)), ((3, 8, 8), (5, 4, 4)), ((3, 4, 4), (5, 8, 8))])
@pytest.mark.parametrize("rows", [1, 4])
def test_the_loss_is_the_slow_loop(scale: float, ours: tuple[int, ...], theirs: tuple[int, ...], rows: int) -> None:
    student, teacher = draw(rows, *ours, scale=scale), draw(rows, *theirs, seed=1)
    assert attention_loss(student, teacher).item() == pytest.approx(slow_loss(student, teacher), rel=1e-5)


def test_attention_by_hand() -> None:
    feature = torch.tensor([[[[1.0, 2.0]], [[math.sqrt(5.0), 2.0]]]])  # mean squares 3 and 4, of length 5
    torch.testing.assert_close(attention(feature), torch.tensor([[0.6, 0.8]]))
    assert attention_loss(feature, feature.flip(3)).item() == pytest.approx(0.04)


def test_scale_sign_and_order_of_channels_are_not_seen() -> None:
    teacher = draw(4, 6, 4, 4)
    scales = torch.tensor([1e-3, 1.0, 7.0, 1e3])[:, None, None, None]
    student = -scales * teacher[:, torch.tensor([3, 1, 5, 0, 2, 4])]
    assert attention_loss(student, teacher).item() < 1e-12
    assert attention_loss(student.flip(2), teacher).item() > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_half_precision_is_near_and_finite(dtype: torch.dtype, scale: float) -> None:
    student, teacher = draw(4, 3, 4, 4, scale=scale), draw(4, 5, 8, 8, scale=scale, seed=1)
    found = attention_loss(student.to(dtype), teacher.to(dtype))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(attention_loss(student, teacher).item(), rel=0.05)


def test_a_dead_feature_is_finite_and_pulls_nowhere() -> None:
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = attention_loss(student, draw(2, 3, 4, 4))
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(student.grad, torch.zeros(2, 3, 4, 4))


def test_all_stages_are_summed_and_the_weights_are_the_knobs() -> None:
    method = AT(label_weight=2.0, attention_weight=3.0)
    *_, batch = situation(method)
    terms = method.terms(batch, None)
    stages = zip(batch.student.features, batch.teacher.features, strict=True)
    assert terms["attention"].value.item() == pytest.approx(sum(attention_loss(*both).item() for both in stages))
    assert [term.weight for term in terms.values()] == [2.0, 3.0]


def test_stages_without_positions_are_left_out_and_a_pair_without_any_is_refused() -> None:
    method = AT()
    *_, batch = situation(method)
    vectors = batch.student._replace(features=(*batch.student.features[:2], draw(6, 5)))
    fewer = method.terms(batch._replace(student=vectors), None)["attention"].value
    stages = list(zip(batch.student.features, batch.teacher.features, strict=True))[:2]
    assert fewer.item() == pytest.approx(sum(attention_loss(*both).item() for both in stages))
    told = pair(method, *nets(), classes=4)
    with pytest.raises(BadInput, match=r"places.* are 5, 6x1x1 and the teacher's 8x8x8, .*as 'cnn' or 'resnet'\."):
        method.connect(told._replace(student=((5,), (6, 1, 1))))
