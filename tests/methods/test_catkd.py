"""Class maps against a loop, their mean against the logits, and what cannot give such maps."""

import numpy as np
import pytest
import torch
from situation import SHAPE, nets, situation
from slow import draw
from torch import Tensor

from kdcore.errors import BadInput
from kdcore.methods.catkd import CATKD, class_maps, map_loss
from kdcore.spec.registry import MODELS

torch.set_num_threads(1)


def maps(rows: int, channels: int, side: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return draw(rows, channels * side * side, scale, seed).reshape(rows, channels, side, side)


def cells(image: np.ndarray, positions: int) -> np.ndarray:
    """The means (positions^2,) over the squares of an image whose side they divide."""
    step = image.shape[0] // positions
    return np.array(
        [
            image[i * step : (i + 1) * step, j * step : (j + 1) * step].mean()
            for i in range(positions)
            for j in range(positions)
        ]
    )


def slow(student: Tensor, teacher: Tensor, positions: int, normalise: bool) -> float:
    """The equation over rows, classes and positions."""
    found = []
    for ours, theirs in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            a, b = cells(one, positions), cells(other, positions)
            if normalise:
                a, b = a / np.sqrt((a**2).sum()), b / np.sqrt((b**2).sum())
            found += [(x - y) ** 2 for x, y in zip(a, b, strict=True)]
    return float(np.mean(found))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(("positions", "mine", "theirs"), [(2, 4, 4), (2, 8, 4), (1, 3, 5), (4, 4, 8)])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_loss_is_the_slow_loop(positions: int, mine: int, theirs: int, scale: float, normalise: bool) -> None:
    student, teacher = maps(3, 2, mine, scale), maps(3, 2, theirs, scale, seed=1)
    expected = slow(student, teacher, positions, normalise)
    assert map_loss(student, teacher, positions, normalise).item() == pytest.approx(expected, rel=1e-5)


def test_no_more_positions_are_compared_than_there_are() -> None:
    student, teacher = maps(2, 3, 4), maps(2, 3, 1, seed=1)
    assert map_loss(student, teacher, 2) == map_loss(student, teacher, 1)


def test_class_maps_by_hand_and_in_half_precision() -> None:
    feature, weight = maps(2, 3, 2), draw(4, 3, seed=1)
    found = class_maps(feature, weight)
    assert found.shape == (2, 4, 2, 2)
    expected = sum(weight[1, k].item() * feature[0, k, 1, 0].item() for k in range(3))
    assert found[0, 1, 1, 0].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(class_maps(feature.half(), weight), found, rtol=1e-2, atol=1e-2)


def test_normalised_maps_do_not_see_the_scale_of_a_map_and_survive_an_empty_one() -> None:
    student, teacher = maps(3, 2, 4), maps(3, 2, 4, seed=1)
    torch.testing.assert_close(map_loss(7 * student, teacher, 2, True), map_loss(student, teacher, 2, True))
    empty = torch.zeros(3, 2, 4, 4, requires_grad=True)
    map_loss(empty, teacher, 2, True).backward()
    assert empty.grad.isfinite().all()


def test_the_mean_over_positions_of_the_maps_is_the_logits_without_bias() -> None:
    case = situation(CATKD())
    ours = class_maps(case.batch.student.features[-1], case.student.head[0].weight.flatten(1))
    torch.testing.assert_close(ours.mean((2, 3)), case.batch.student.logits)
    linear = case.teacher.head[1]
    theirs = class_maps(case.batch.teacher.features[-1], linear.weight)
    torch.testing.assert_close(theirs.mean((2, 3)) + linear.bias, case.batch.teacher.logits)


def test_the_term_compares_the_maps_of_both_networks() -> None:
    case = situation(CATKD())
    ours = class_maps(case.batch.student.features[-1], case.student.head[0].weight.flatten(1))
    theirs = class_maps(case.batch.teacher.features[-1], case.teacher.head[1].weight)
    terms = CATKD().terms(case.batch, None)
    assert terms["maps"].value.item() == pytest.approx(slow(ours.detach(), theirs, 2, False), rel=1e-5)
    terms["maps"].value.backward()
    assert case.student.head[0].weight.grad.abs().sum() > 0


def test_a_student_that_is_its_teacher_has_no_maps_to_learn() -> None:
    case = situation(CATKD())
    same = case.batch._replace(student=case.batch.teacher, student_net=case.teacher)
    for normalise in (False, True):
        assert CATKD(normalise=normalise).terms(same, None)["maps"].value.item() == 0


def test_weights_are_the_knobs() -> None:
    batch = situation(CATKD()).batch
    terms = CATKD(label_weight=0.5, cat_weight=4.5).terms(batch, None)
    assert {name: term.weight for name, term in terms.items()} == {"labels": 0.5, "maps": 4.5}


@pytest.mark.parametrize(("student", "teacher"), [("cnn", "mlp"), ("mlp", "cnn")])
def test_a_network_that_ends_in_a_vector_is_refused(student: str, teacher: str) -> None:
    ours, theirs = (MODELS[name](width=8).build(SHAPE, 4) for name in (student, teacher))
    with pytest.raises(BadInput, match=r"vector of 8 units; choose .* such as 'cnn', 'resnet' or 'wrn'\."):
        CATKD().adapt_student(ours, theirs)


def test_the_student_loses_its_bias_and_keeps_its_blocks() -> None:
    student, teacher = nets()
    remodelled = CATKD().adapt_student(student, teacher)
    assert remodelled.blocks[0] is student.blocks[0]
    assert [name for name, _ in remodelled.head.named_parameters()] == ["0.weight"]
