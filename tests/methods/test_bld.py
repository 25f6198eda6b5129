"""Stepping stones against a forward pass and loops of their own, the identities they keep, and who learns from whom."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from situation import SHAPE, Situation, nets, pair, situation
from slow import draw
from test_losses import slow_kd, softmax_log
from torch import Tensor, nn

from kdcore.contracts.outputs import Outputs
from kdcore.errors import BadInput
from kdcore.methods.bld import BlockWise, agreement, stepping_stones
from kdcore.nn.connectors import connector
from kdcore.spec.compatibility import cuts
from kdcore.spec.registry import MODELS

torch.set_num_threads(1)


def by_hand(case: Situation) -> list[Tensor]:
    """The stones of two networks of three stages, written out."""
    assert case.state is not None
    first, second, third = (case.state[place](case.batch.student.features[place]) for place in range(3))
    _, two, three = case.teacher.blocks
    head = case.teacher.head
    return [head(three(two(first))), head(three(second)), head(third)]


def slow_ce(logits: Tensor, labels: Tensor) -> float:
    rows = [(z, y) for z, y in zip(logits.detach().double().numpy(), labels.tolist(), strict=True) if y >= 0]
    return -sum(float(softmax_log(z)[y]) for z, y in rows) / len(rows)


class Slow(NamedTuple):
    """The three terms."""

    labels: float
    distill: float
    cross: float


def slow(student: Tensor, stones: list[Tensor], teacher: Tensor, labels: Tensor, temperature: float) -> Slow:
    """The equation, stone by stone, in float64."""
    student, teacher = student.detach(), teacher.detach()
    ensemble = torch.zeros_like(teacher, dtype=torch.double)
    for stone in stones:
        ensemble += stone.detach().double() / len(stones)
    found = [slow_ce(student, labels), slow_kd(student, teacher, temperature), slow_kd(student, ensemble, temperature)]
    for place, stone in enumerate(stones, start=1):
        weight = 1 / 2 ** (len(stones) - place)
        found[0] += weight * slow_ce(stone, labels)
        found[1] += weight * slow_kd(stone.detach(), teacher, temperature)
        found[2] += weight * slow_kd(stone.detach(), ensemble, temperature)
    return Slow(*found)


def reached(module: nn.Module) -> bool:
    """Whether any gradient arrived."""
    return any(weight.grad is not None and bool(weight.grad.any()) for weight in module.parameters())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_terms_are_the_slow_loop(temperature: float) -> None:
    method = BlockWise(temperature=temperature)
    case = situation(method)
    terms = method.terms(case.batch, case.state)
    logits = case.batch.teacher.logits
    expected = slow(case.batch.student.logits, by_hand(case), logits, case.batch.labels, temperature)
    assert {name: term.value.item() for name, term in terms.items()} == pytest.approx(expected._asdict(), rel=1e-4)


@pytest.mark.parametrize(("scale", "rows", "classes"), [(1.0, 5, 4), (1e3, 5, 4), (30.0, 1, 2), (0.0, 3, 2)])
def test_agreement_is_the_slow_loop(scale: float, rows: int, classes: int) -> None:
    student, target, *stones = (draw(rows, classes, scale, seed) for seed in range(5))
    found = agreement(student, stones, target, 2.0).item()
    expected = slow_kd(student, target, 2.0) + sum(
        slow_kd(stone, target, 2.0) / 2 ** (3 - place) for place, stone in enumerate(stones, start=1)
    )
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_agreement_of_half_precision_is_near() -> None:
    student, target, *stones = (draw(5, 4, 3.0, seed) for seed in range(5))
    halves = [tensor.half() for tensor in (student, target, *stones)]
    near = agreement(halves[0], halves[2:], halves[1], 4.0)
    torch.testing.assert_close(near, agreement(student, stones, target, 4.0), rtol=1e-2, atol=1e-2)


def test_weights_are_the_knobs_and_the_simple_mode_hears_labels_on_the_student_alone() -> None:
    method = BlockWise(alpha=2.0, beta=3.0, gamma=4.0)
    case = situation(method)
    assert {name: term.weight for name, term in method.terms(case.batch, case.state).items()} == {
        "labels": 2.0,
        "distill": 3.0,
        "cross": 4.0,
    }
    simple = BlockWise(alpha=2.0, beta=3.0, simple=True)
    terms = simple.terms(case.batch, case.state)
    assert {name: term.weight for name, term in terms.items()} == {"labels": 2.0, "distill": 3.0}
    assert terms["labels"].value.item() == pytest.approx(slow_ce(case.batch.student.logits, case.batch.labels))
    assert terms["distill"].value == method.terms(case.batch, case.state)["distill"].value


def test_the_simple_mode_joins_by_1x1_convolutions_and_the_other_by_3x3() -> None:
    for simple, kernel in [(True, (1, 1)), (False, (3, 3))]:
        state = situation(BlockWise(simple=simple)).state
        assert {layer.kernel_size for layer in state.modules() if isinstance(layer, nn.Conv2d)} == {kernel}


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    case = situation(BlockWise())
    teacher = case.batch.teacher
    identities = nn.ModuleList(nn.Identity() for _ in range(3))
    batch = case.batch._replace(student=teacher)
    for stone in stepping_stones(teacher.features, identities, case.teacher):
        torch.testing.assert_close(stone, teacher.logits)
    terms = BlockWise().terms(batch, identities)
    assert terms["distill"].value.item() == pytest.approx(0, abs=1e-10)
    assert terms["cross"].value.item() == pytest.approx(0, abs=1e-10)
    squeezed = nn.ModuleList(nn.Tanh() for _ in range(3))
    assert BlockWise().terms(batch, squeezed)["distill"].value.item() > 1e-4


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_stone_teaches_its_connector_and_the_blocks_before_it_alone(place: int) -> None:
    case = situation(BlockWise())
    stones = stepping_stones(case.batch.student.features, case.state, case.teacher)
    stones[place].square().sum().backward()
    assert [reached(join) for join in case.state] == [other == place for other in range(3)]
    assert [reached(block) for block in case.student.blocks] == [other <= place for other in range(3)]
    assert not reached(case.student.head)
    assert not reached(case.teacher)


def test_the_mean_of_the_stones_is_a_constant_target() -> None:
    """All three terms pull a stone; the mean does not run from it: a lone stone equals its mean and feels no pull."""
    method = BlockWise()
    student = MODELS["mlp"](width=8, depth=1).build(SHAPE, 4)
    teacher = MODELS["mlp"](width=16, depth=1).build(SHAPE, 4).eval().requires_grad_(False)
    batch = situation(method).batch
    state = method.connect(pair(method, student, teacher, 4)).eval()
    batch = batch._replace(student=student(batch.inputs), teacher=teacher(batch.inputs), teacher_net=teacher)
    cross = method.terms(batch, state)["cross"].value
    stone = stepping_stones(batch.student.features, state, teacher)[0]
    assert cross.item() == pytest.approx(slow_kd(batch.student.logits.detach(), stone.detach(), 4.0), rel=1e-4)
    cross.backward()
    assert state[0][1].weight.grad.abs().max() < 1e-6
    assert reached(student.head)


def test_the_last_stone_is_the_students_feature_under_the_teachers_head() -> None:
    case = situation(BlockWise())
    last = stepping_stones(case.batch.student.features, case.state, case.teacher)[-1]
    assert torch.equal(last, case.teacher.head(case.state[2](case.batch.student.features[2])))


def test_the_stones_are_shown_in_order() -> None:
    case = situation(BlockWise())
    paths = BlockWise().arrays(case.batch, case.state)["paths"]
    torch.testing.assert_close(paths, torch.stack(by_hand(case)))


@pytest.mark.parametrize(
    ("student", "teacher", "places"),
    [
        (3, 3, [(1, 1), (2, 2), (3, 3)]),
        (3, 4, [(1, 1), (2, 3), (3, 4)]),
        (4, 3, [(1, 1), (3, 2), (4, 3)]),
        (1, 3, [(1, 3)]),
        (2, 5, [(1, 3), (2, 5)]),
    ],
)
def test_cuts_are_at_equal_relative_depth_and_the_last_is_after_all_blocks(
    student: int, teacher: int, places: list[tuple[int, int]]
) -> None:
    assert cuts(student, teacher) == places


def test_networks_of_unlike_lengths_and_sizes_are_joined() -> None:
    method = BlockWise()
    student = MODELS["cnn"](width=4).build((1, 16, 16), 4)
    teacher = MODELS["vgg"](variant="8").build((1, 16, 16), 4).eval().requires_grad_(False)
    x = torch.randn(4, 1, 16, 16)
    outputs = student(x), teacher(x)
    mine, theirs = (tuple(tuple(feature.shape[1:]) for feature in side.features) for side in outputs)
    told = pair(method, *nets(), classes=4)._replace(student=mine, teacher=theirs, teacher_net=teacher)
    stones = stepping_stones(outputs[0].features, method.connect(told), teacher)
    assert [tuple(stone.shape) for stone in stones] == [(4, 4)] * 3


def test_a_vector_cannot_go_on_as_a_map() -> None:
    method = BlockWise()
    student, teacher = MODELS["mlp"](width=8, depth=1).build(SHAPE, 4), nets()[1]
    with pytest.raises(BadInput, match=r"stage 1 of the student.*shape 8,.*stage 3 of the teacher.*32x2x2"):
        method.connect(pair(method, student, teacher, 4))


def test_a_map_goes_on_as_a_vector() -> None:
    method = BlockWise()
    student, teacher = nets()[0], MODELS["mlp"](width=8, depth=3).build(SHAPE, 4).eval().requires_grad_(False)
    state = method.connect(pair(method, student, teacher, 4))
    assert stepping_stones(student(torch.randn(2, *SHAPE)).features, state, teacher)[0].shape == (2, 4)


def test_a_leaky_rectifier_stands_before_a_block_that_reads_rectified_maps() -> None:
    state = situation(BlockWise()).state
    assert [join[-1].negative_slope for join in state] == [0.1] * 3
    wide = MODELS["wrn"](variant="16-1").build(SHAPE, 4).eval().requires_grad_(False)
    state = BlockWise().connect(pair(BlockWise(), nets()[0], wide, 4))
    assert [type(join[-1]) for join in state] == [nn.Identity, nn.Identity, nn.LeakyReLU]


def test_labels_count_on_labelled_rows_alone() -> None:
    case = situation(BlockWise())
    kept = np.flatnonzero(case.batch.labels.numpy() >= 0)
    stones = [stone[kept] for stone in by_hand(case)]
    values = [slow_ce(part, case.batch.labels[kept]) for part in (*stones, case.batch.student.logits[kept])]
    found = BlockWise().terms(case.batch, case.state)["labels"].value.item()
    assert found == pytest.approx(values[0] / 4 + values[1] / 2 + values[2] + values[3], rel=1e-5)


def test_connectors_may_look_around() -> None:
    for size in [(4, 4), (3, 3), (5, 5), (6, 7)]:
        join = connector((3, 4, 4), (2, *size), "leaky", kernel=3)
        assert join(torch.randn(2, 3, 4, 4)).shape == (2, 2, *size)


def test_outputs_of_another_precision_are_read_in_full() -> None:
    case = situation(BlockWise(), dtype=torch.bfloat16)
    exact = Outputs(case.batch.student.logits, tuple(feature.float() for feature in case.batch.student.features))
    ours = stepping_stones(case.batch.student.features, case.state, case.teacher)
    for one, other in zip(ours, stepping_stones(exact.features, case.state, case.teacher), strict=True):
        assert torch.equal(one, other)
