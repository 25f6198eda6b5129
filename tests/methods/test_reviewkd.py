"""ReviewKD: its loss against a slow loop, its fusion by hand, and any two networks' stages."""

from itertools import product

import numpy as np
import pytest
import torch
from situation import nets, pair, situation
from slow import normal as draw
from torch import Tensor

from kdcore.contracts.outputs import Outputs
from kdcore.methods.reviewkd import Fusion, Review, ReviewKD, hierarchical_loss, levels
from kdcore.spec.compatibility import paired

torch.set_num_threads(1)


Shapes = tuple[tuple[int, ...], ...]


def slow_square(student: np.ndarray, teacher: np.ndarray) -> float:
    gaps = [(a - b) ** 2 for a, b in zip(student.flat, teacher.flat, strict=True)]
    return float(sum(gaps) / len(gaps))


def slow_parts(feature: np.ndarray, parts: int) -> np.ndarray:
    """Means over parts x parts equal windows of (B, K, H, W)."""
    rows, channels, height, width = feature.shape
    found = np.zeros((rows, channels, parts, parts))
    share = (height // parts) * (width // parts)
    for b, k, i, j in product(range(rows), range(channels), range(height), range(width)):
        found[b, k, i * parts // height, j * parts // width] += feature[b, k, i, j] / share
    return found


def slow_hcl(student: Tensor, teacher: Tensor) -> float:
    s, t = student.double().numpy(), teacher.double().numpy()
    found = [(1.0, slow_square(s, t))]
    for parts in (4, 2, 1):
        if parts < s.shape[2]:
            found.append((found[-1][0] / 2, slow_square(slow_parts(s, parts), slow_parts(t, parts))))
    return sum(weight * value for weight, value in found) / sum(weight for weight, _ in found)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("size", [8, 4, 2, 1])
def test_the_loss_is_the_slow_loop(scale: float, rows: int, size: int) -> None:
    student, teacher = draw(rows, 3, size, size, scale=scale), draw(rows, 3, size, size, seed=1)
    assert hierarchical_loss(student, teacher).item() == pytest.approx(slow_hcl(student, teacher), rel=1e-5)


def test_the_loss_by_hand() -> None:
    student, teacher = torch.tensor([[[[2.0, 0.0], [0.0, 0.0]]]]), torch.zeros(1, 1, 2, 2)
    assert hierarchical_loss(student, teacher).item() == pytest.approx((1 + 0.5 * 0.25) / 1.5)
    assert hierarchical_loss(student, student).item() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    student, teacher = draw(3, 4, 8, 8, scale=1e3), draw(3, 4, 8, 8, scale=1e3, seed=1)
    found = hierarchical_loss(student.to(dtype), teacher.to(dtype))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(hierarchical_loss(student, teacher).item(), rel=0.02)


@torch.no_grad()
def test_a_fusion_adds_both_with_a_weight_for_each_position() -> None:
    fusion = Fusion(3, 2, (5, 8, 8), deepest=False).eval()
    feature, deeper = draw(2, 3, 4, 4), draw(2, 2, 2, 2, seed=1)
    imitation, mixed = fusion(feature, deeper)
    own = fusion.reduce(feature)
    enlarged = deeper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    convolution = fusion.attend[0]
    both = torch.cat((own, enlarged), dim=1)
    read = torch.einsum("bkij,lk->blij", both, convolution.weight[:, :, 0, 0]) + convolution.bias[:, None, None]
    weights = 1 / (1 + (-read).exp())
    small = weights[:, :1] * own + weights[:, 1:] * enlarged
    torch.testing.assert_close(mixed, small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    torch.testing.assert_close(imitation, fusion.imitate(mixed))
    assert imitation.shape == (2, 5, 8, 8)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (((4, 8, 8), (6, 4, 4)), ((5, 8, 8), (7, 4, 4))),
        (((4, 8, 8), (6, 4, 4)), ((3, 16, 16), (5, 8, 8), (7, 2, 2))),
        (((4, 8, 6), (6, 4, 3), (6, 2, 1)), ((5, 7, 9),)),
        (((4,), (6,)), ((5,), (7,), (8,))),
        (((4, 8, 8), (6,)), ((5, 8, 8), (7, 4, 4))),
        (((4,), (6,)), ((5, 8, 8), (7, 4, 4))),
    ],
)
def test_the_stages_of_any_two_networks_are_joined(ours: Shapes, theirs: Shapes) -> None:
    method, rows = ReviewKD(), 3
    *_, batch = situation(method)
    told = pair(method, *nets(), classes=4)._replace(student=(*ours, ours[-1]), teacher=(*theirs, theirs[-1]))
    state = method.connect(told)
    student, teacher = (
        Outputs(draw(rows, 4), tuple(draw(rows, *shape, seed=place) for place, shape in enumerate(shapes)))
        for shapes in (told.student, told.teacher)
    )
    found = state(next(zip(*paired(levels(student.features), levels(teacher.features)), strict=True)))
    wanted = [
        (*shape, *(1, 1)[: 3 - len(shape)]) for shape in (*theirs[-min(len(ours), len(theirs)) :], theirs[-1][:1])
    ]
    assert [tuple(each.shape[1:]) for each in reversed(found)] == wanted
    labels = torch.zeros(rows, dtype=torch.int64)
    loss = method.terms(batch._replace(student=student, teacher=teacher, labels=labels), state)["review"].value
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is not None for weight in state.parameters())


def test_the_term_sums_all_levels_the_pooled_one_too_and_fades_in() -> None:
    method = ReviewKD(label_weight=2.0, review_weight=3.0, warmup=0.2)
    *_, state, batch = situation(method)
    state.eval()
    terms = method.terms(batch, state)
    assert [term.weight for term in terms.values()] == [2.0, 3.0]
    assert method.terms(batch._replace(progress=0.05), state)["review"].weight == pytest.approx(0.75)
    found = state(levels(batch.student.features))
    last = batch.teacher.features[-1].mean((2, 3))[:, :, None, None]
    targets = [last, *reversed(batch.teacher.features[:-1])]
    assert batch.teacher.features[-2].min() < 0
    torch.testing.assert_close(batch.teacher.features[-2].relu(), batch.teacher.features[-1])
    expected = sum(slow_hcl(ours.detach(), theirs) for ours, theirs in zip(found, targets, strict=True))
    assert terms["review"].value.item() == pytest.approx(expected, rel=1e-5)


def test_imitations_that_are_the_teachers_features_cost_nothing() -> None:
    method = ReviewKD()
    *_, batch = situation(method)

    class Perfect(torch.nn.Module):
        def forward(self, features: list[Tensor]) -> list[Tensor]:
            return list(reversed(levels(batch.teacher.features)))

    assert method.terms(batch, Perfect())["review"].value.item() == 0


def test_one_value_per_channel_is_normalised_by_what_was_seen_before() -> None:
    review = Review([((4, 2, 2), (5, 2, 2)), ((4,), (5,))])
    one = [draw(1, 4, 2, 2), draw(1, 4, 1, 1)]
    for _ in range(20):
        review([draw(8, 4, 2, 2) + 3, draw(8, 4, 1, 1) + 3])
    before = review.fusions[0].reduce[1].running_mean.clone()
    trained = review(one)[0]
    assert torch.equal(review.fusions[0].reduce[1].running_mean, before)
    torch.testing.assert_close(trained, review.eval()(one)[0])
