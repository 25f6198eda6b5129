"""SimKD's loss against a loop, its network, and the identity that makes it: same feature, same answer."""

from pathlib import Path

import pytest
import torch
from situation import SHAPE, nets, pair, situation
from slow import draw
from torch import Tensor, nn

from kdcore.contracts.net import Net
from kdcore.engine.build import network
from kdcore.engine.checkpoint import load_weights, save_tensors
from kdcore.methods.simkd import SimKD, feature_loss, projector
from kdcore.nn.heads import reading
from kdcore.spec.registry import MODELS
from kdcore.spec.spec import Choice, Spec

torch.set_num_threads(1)


def maps(rows: int, channels: int, side: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return draw(rows, channels * side * side, scale, seed).reshape(rows, channels, side, side)


def slow(projected: Tensor, feature: Tensor) -> float:
    """The mean squared difference, the larger map averaged over whole squares before."""
    one, other = projected.double().numpy(), feature.double().numpy()
    side = min(one.shape[2], other.shape[2])
    total = 0.0
    for row in range(one.shape[0]):
        for channel in range(one.shape[1]):
            for i in range(side):
                for j in range(side):
                    values = []
                    for array in (one, other):
                        step = array.shape[2] // side
                        values.append(array[row, channel, i * step : (i + 1) * step, j * step : (j + 1) * step].mean())
                    total += (values[0] - values[1]) ** 2
    return total / (one.shape[0] * one.shape[1] * side * side)


@pytest.mark.parametrize(("mine", "theirs"), [(4, 4), (4, 2), (2, 4), (1, 3)])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_loss_is_the_slow_loop(mine: int, theirs: int, scale: float) -> None:
    projected, feature = maps(3, 2, mine, scale), maps(3, 2, theirs, scale, seed=1)
    assert feature_loss(projected, feature).item() == pytest.approx(slow(projected, feature), rel=1e-5)


def test_the_loss_of_vectors_by_hand() -> None:
    assert feature_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]])).item() == 2.0
    near = feature_loss(draw(4, 5).half(), draw(4, 5, seed=1).half())
    torch.testing.assert_close(near, feature_loss(draw(4, 5), draw(4, 5, seed=1)), rtol=1e-2, atol=1e-2)


def test_the_projected_teacher_gives_the_teachers_logits() -> None:
    case = situation(SimKD())
    same = Net([*case.teacher.blocks, nn.Identity()], case.student.head)
    outputs = same(case.batch.inputs)
    assert torch.equal(outputs.logits, case.batch.teacher.logits)
    assert SimKD().terms(case.batch._replace(student=outputs), None)["feature"].value.item() == 0
    assert SimKD().terms(case.batch, None)["feature"].value.item() > 0


def test_the_student_answers_with_the_teachers_head_and_only_the_rest_learns() -> None:
    case = situation(SimKD())
    assert torch.equal(case.batch.student.logits, case.teacher.head(case.batch.student.features[-1]))
    SimKD().terms(case.batch, None)["feature"].value.backward()
    assert all(weight.grad is not None for weight in case.student.blocks.parameters())
    assert not any(weight.requires_grad for weight in case.student.head.parameters())


def test_labels_are_never_read() -> None:
    case = situation(SimKD())
    other = case.batch._replace(labels=torch.full_like(case.batch.labels, -1))
    assert SimKD().terms(case.batch, None) == SimKD().terms(other, None)


def test_the_projector_narrows_by_the_reduction() -> None:
    student, teacher = (reading(net, "This") for net in nets())
    for reduction, middle in [(1, 32), (2, 16), (64, 1)]:
        widths = [
            layer.weight.shape[:2] for layer in projector(student, teacher, reduction) if isinstance(layer, nn.Conv2d)
        ]
        assert widths == [(middle, 16), (middle, middle), (32, middle)]


@pytest.mark.parametrize("student", ["cnn", "mlp"])
@pytest.mark.parametrize("teacher", ["cnn", "mlp"])
def test_maps_and_vectors_are_joined(student: str, teacher: str) -> None:
    ours, theirs = (MODELS[name](width=8).build(SHAPE, 4).eval() for name in (student, teacher))
    told = theirs(torch.randn(2, *SHAPE))
    answer = SimKD().adapt_student(ours, theirs).eval()(torch.randn(2, *SHAPE))
    assert answer.logits.shape == (2, 4)
    assert feature_loss(answer.features[-1], told.features[-1]).isfinite()
    assert answer.features[-1].dim() == told.features[-1].dim()


def test_a_vector_may_be_projected_below_zero() -> None:
    ours, theirs = (MODELS["mlp"](width=8).build(SHAPE, 4) for _ in range(2))
    assert SimKD().adapt_student(ours, theirs)(torch.randn(8, *SHAPE)).features[-1].min() < 0


def test_the_weight_is_the_knob() -> None:
    assert SimKD(feature_weight=3.0).terms(situation(SimKD()).batch, None)["feature"].weight == 3.0


def spec(method: str, student: str = "cnn", teacher: Spec | None = None, **knobs: object) -> Spec:
    return Spec(
        data=Choice(name="digits"),
        student=Choice(name=student, knobs={"width": 8}),
        method=Choice(name=method, knobs=knobs),
        teacher=teacher,
    )


@pytest.mark.parametrize(
    ("method", "then"), [("simkd", "simkd"), ("simkd", "catkd"), ("catkd", "catkd"), ("catkd", "simkd")]
)
def test_a_student_with_another_head_is_built_anew_from_its_file_and_teaches(
    tmp_path: Path, method: str, then: str
) -> None:
    first = spec(method, teacher=spec("ce"))
    trained = network(first, SHAPE, 10).eval()
    save_tensors(tmp_path / "student.safetensors", trained.state_dict(), {})
    loaded = load_weights(network(first, SHAPE, 10), tmp_path / "student.safetensors")
    x = torch.randn(3, *SHAPE)
    assert torch.equal(loaded(x).logits, trained(x).logits)
    pupil = network(spec(then, teacher=first), SHAPE, 10)
    assert pupil(x).logits.shape == (3, 10)


def test_the_network_does_not_depend_on_the_values_of_weights() -> None:
    student, teacher = nets()
    shapes = {name: value.shape for name, value in SimKD().adapt_student(student, teacher).state_dict().items()}
    with torch.no_grad():
        for weight in (*student.parameters(), *teacher.parameters()):
            weight.fill_(torch.nan)
    again = SimKD().adapt_student(student, teacher).state_dict()
    assert shapes == {name: value.shape for name, value in again.items()}


def test_it_connects_nothing_beside_the_network() -> None:
    assert SimKD().connect(pair(SimKD(), *nets(), classes=4)) is None
