"""Subclasses: their targets against a loop, their directions against numpy, and what adds up to what."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from situation import SHAPE, nets, pair, situation
from slow import draw
from test_losses import slow_kd, slow_kl, softmax_log
from torch import Tensor

from kdcore.engine.build import network
from kdcore.engine.checkpoint import load_weights, save_tensors
from kdcore.errors import BadInput
from kdcore.methods.lelp import LELP, Subclasses, rotation, strongest, subclass_log_targets, without_span
from kdcore.nn.heads import reading
from kdcore.nn.losses import kl, log_probs
from kdcore.spec.registry import MODELS
from kdcore.spec.spec import Choice, Spec

torch.set_num_threads(1)
ROWS, CLASSES, WIDTH, PARTS = 60, 3, 8, 2


def space(scale: float = 1.0, parts: int = PARTS) -> tuple[Subclasses, Tensor, Tensor, Tensor]:
    """A split, and the features, classes and classifier that it comes from."""
    features, weight = draw(ROWS, WIDTH, scale) * torch.arange(1, WIDTH + 1), draw(CLASSES, WIDTH, seed=1)
    targets = torch.arange(ROWS) % CLASSES
    return Subclasses(features, targets, weight, CLASSES, parts), features, targets, weight


def slow_targets(logits: Tensor, features: Tensor, split: Subclasses, temperature: float) -> np.ndarray:
    """P over rows, classes and subclasses."""
    means, directions = split.means.double().numpy(), split.directions.double().numpy()
    found = np.zeros((len(logits), *directions.shape[::2]))
    for row, (z, f) in enumerate(zip(logits.double().numpy(), features.double().numpy(), strict=True)):
        log_p = softmax_log(z)
        for c in range(len(log_p)):
            places = [(f - means[c]) @ directions[c, :, s] / temperature for s in range(directions.shape[2])]
            found[row, c] = np.exp(log_p[c] + softmax_log(np.array(places)))
    return found


@pytest.mark.parametrize(("scale", "temperature"), [(1.0, 1.0), (1.0, 0.1), (30.0, 2.0), (1e3, 1.0)])
def test_targets_are_the_slow_loop(scale: float, temperature: float) -> None:
    split, features, *_ = space()
    logits = draw(ROWS, CLASSES, scale, seed=3)
    found = subclass_log_targets(logits, features, split, temperature).exp()
    np.testing.assert_allclose(found.numpy(), slow_targets(logits, features, split, temperature), rtol=1e-3, atol=1e-5)


def test_subclasses_add_up_to_their_class() -> None:
    split, features, *_ = space()
    logits = draw(ROWS, CLASSES, 3.0, seed=3)
    found = subclass_log_targets(logits, features, split, 0.5).exp()
    torch.testing.assert_close(found.sum(2), logits.softmax(1))
    assert found.std(2).max() > 0.05


def test_means_are_those_of_the_classes() -> None:
    split, features, targets, _ = space()
    for c in range(CLASSES):
        np.testing.assert_allclose(split.means[c].numpy(), features[targets == c].numpy().mean(0), rtol=1e-5)


def test_directions_are_the_turned_principal_ones_outside_the_classifiers_span() -> None:
    split, features, targets, weight = space()
    basis = np.linalg.qr(weight.double().numpy().T)[0]
    for c in range(CLASSES):
        rows = features[targets == c].double().numpy()
        rows = rows - rows.mean(0)
        rows = rows - rows @ basis @ basis.T
        _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
        found = split.directions[c].double().numpy()
        np.testing.assert_allclose(weight.double().numpy() @ found, 0, atol=1e-5)
        np.testing.assert_allclose(found - axes[:PARTS].T @ axes[:PARTS] @ found, 0, atol=1e-5)
        scale = math.sqrt((sizes[:PARTS] ** 2).mean() / len(rows))
        np.testing.assert_allclose(found.T @ found * scale**2, np.eye(PARTS), atol=1e-5)
        assert ((rows @ found) ** 2).mean() == pytest.approx(1, rel=1e-4)


def test_the_rotation_is_one_and_always_the_same() -> None:
    turn = rotation(5)
    torch.testing.assert_close(turn @ turn.T, torch.eye(5, dtype=torch.double))
    assert torch.equal(turn, rotation(5))
    assert turn.abs().min() > 0


def test_a_class_without_rows_and_features_without_variance_stay_finite() -> None:
    features, weight = torch.ones(10, WIDTH), draw(CLASSES, WIDTH)
    split = Subclasses(features, torch.zeros(10, dtype=torch.long), weight, CLASSES, PARTS)
    assert split.directions.isfinite().all()
    assert subclass_log_targets(draw(10, CLASSES), features, split, 1.0).isfinite().all()
    assert strongest(torch.zeros(4, 3, dtype=torch.double), 2, rotation(2)).norm(dim=0).tolist() == pytest.approx(
        [1, 1]
    )


def test_nothing_is_left_in_the_span_of_the_classifier() -> None:
    weight = draw(2, 5).double()
    left = without_span(draw(7, 5, seed=1).double(), weight)
    torch.testing.assert_close(left @ weight.T, torch.zeros(7, 2, dtype=torch.double))
    torch.testing.assert_close(without_span(left, weight), left)


@pytest.mark.parametrize("method", [LELP(), LELP(subclasses=2, subclass_temperature=0.3)])
def test_the_term_is_the_slow_loop(method: LELP) -> None:
    case = situation(method)
    outer = case.batch.student.features[-1].mean((2, 3)) @ case.student.head[0][1].weight.T
    logits = (outer + case.student.head[0][1].bias).detach().double().numpy()
    feature = case.batch.teacher.features[-1].mean((2, 3))
    target = slow_targets(case.batch.teacher.logits, feature, case.state, method.subclass_temperature)
    values = [slow_kl(np.log(p.reshape(-1)), softmax_log(z)) for p, z in zip(target, logits, strict=True)]
    assert method.terms(case.batch, case.state)["kd"].value.item() == pytest.approx(np.mean(values), rel=1e-4)


def test_one_subclass_is_distillation_without_labels() -> None:
    method = LELP(subclasses=1)
    case = situation(method)
    found = method.terms(case.batch, case.state)["kd"].value.item()
    assert found == pytest.approx(slow_kd(case.batch.student.logits.detach(), case.batch.teacher.logits, 1.0), rel=1e-4)


def test_the_students_class_probability_is_the_sum_over_its_subclasses() -> None:
    case = situation(LELP(subclasses=3))
    inner = case.student.head[0](case.batch.student.features[-1])
    assert inner.shape == (6, 12)
    torch.testing.assert_close(case.batch.student.logits.softmax(1), inner.softmax(1).reshape(6, 4, 3).sum(2))


def test_learning_subclasses_is_never_easier_than_learning_classes() -> None:
    """The divergence of classes is that of subclasses with the split inside classes left out."""
    case = situation(LELP())
    whole = LELP().terms(case.batch, case.state)["kd"].value
    classes = kl(log_probs(case.batch.teacher.logits), log_probs(case.batch.student.logits))
    assert whole >= classes


def test_unlabelled_training_rows_belong_to_the_teachers_answer() -> None:
    method, (student, teacher) = LELP(), nets()
    told = pair(method, student, teacher, 4)
    answers = told.answers()
    chosen = told._replace(labels=answers.logits.argmax(1), answers=lambda: answers)
    none = chosen._replace(labels=torch.full_like(told.labels, -1))
    one, other = (method.connect(case).state_dict() for case in (chosen, none))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_are_the_knobs_and_half_precision_is_near() -> None:
    method = LELP(kd_weight=2.0)
    exact, near = situation(method), situation(method, dtype=torch.float16)
    term = method.terms(exact.batch, exact.state)["kd"]
    assert term.weight == 2.0
    torch.testing.assert_close(method.terms(near.batch, near.state)["kd"].value, term.value, rtol=1e-2, atol=1e-2)


def test_more_subclasses_than_there_is_room_for_are_refused() -> None:
    method = LELP(subclasses=29)
    with pytest.raises(BadInput, match=r"of which there are 28, but 29 are asked for; choose fewer subclasses or"):
        method.connect(pair(method, *nets(), classes=4))


def test_a_vector_network_stays_one() -> None:
    student, teacher = (MODELS["mlp"](width=8).build((2,), 2) for _ in range(2))
    remodelled = LELP().adapt_student(student, teacher)
    assert remodelled(torch.randn(3, 2)).logits.shape == (3, 2)
    assert not reading(remodelled, "This").maps


def spec(method: str, teacher: Spec | None = None) -> Spec:
    student = Choice(name="cnn", knobs={"width": 8})
    return Spec(data=Choice(name="digits"), student=student, method=Choice(name=method), teacher=teacher)


def test_a_student_of_subclasses_is_built_anew_from_its_file_and_teaches(tmp_path: Path) -> None:
    first = spec("lelp", spec("ce"))
    trained = network(first, SHAPE, 10).eval()
    save_tensors(tmp_path / "student.safetensors", trained.state_dict(), {})
    loaded = load_weights(network(first, SHAPE, 10), tmp_path / "student.safetensors")
    x = torch.randn(3, *SHAPE)
    assert torch.equal(loaded(x).logits, trained(x).logits)
    for method in ("simkd", "lelp"):
        assert network(spec(method, first), SHAPE, 10)(x).logits.shape == (3, 10)
    with pytest.raises(BadInput, match="40 outputs, as it splits classes; choose a teacher of another method"):
        network(spec("catkd", first), SHAPE, 10)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_class_logit_learns_as_many_times_slower_as_there_are_subclasses(parts: int) -> None:
    """One step down the gradient of evenly split outputs, against p - q of the classes."""
    gap = log_probs(draw(1, CLASSES, seed=1)).exp() - 1 / CLASSES
    outputs = torch.zeros(1, CLASSES, parts, requires_grad=True)
    target = log_probs(draw(1, CLASSES, seed=1))[:, :, None].expand(-1, -1, parts) - math.log(parts)
    kl(target.flatten(1), log_probs(outputs.flatten(1))).backward()
    moved = (outputs.detach() - 1e-3 * outputs.grad).logsumexp(2) - math.log(parts)
    torch.testing.assert_close(moved, 1e-3 * gap / parts, atol=1e-6, rtol=1e-2)
