"""Born-again networks: the two ablations keep what they say they keep, and the generations come one from another."""

from itertools import product

import pytest
import slow
import torch
from situation import situation

from kdcore.contracts.outputs import Outputs
from kdcore.methods.ban import BAN, chances, confidence_weighted, permuted
from kdcore.methods.kd import KD
from kdcore.nn.losses import log_probs

torch.set_num_threads(1)


def slow_weighted(student: torch.Tensor, teacher: torch.Tensor, targets: list[int]) -> float:
    sure = [max(slow.softmax(row)) for row in slow.rows_of(teacher)]
    rows = zip(slow.rows_of(student), targets, sure, strict=True)
    return sum(-slow.log_softmax(row)[y] * share for row, y, share in rows) / sum(sure)


@pytest.mark.parametrize(("scale", "classes", "rows"), list(product([0.0, 1.0, 30.0, 1e3], [2, 7], [1, 6])))
def test_confidence_weighted_labels_are_the_slow_loop(scale: float, classes: int, rows: int) -> None:
    student, teacher = slow.draw(rows, classes, scale), slow.draw(rows, classes, 3.0, seed=1)
    targets = [row % classes for row in range(rows)]
    found = confidence_weighted(student, teacher, torch.tensor(targets)).item()
    assert found == pytest.approx(slow_weighted(student, teacher, targets), rel=1e-5, abs=1e-5)


def test_confidence_weights_by_hand() -> None:
    """Teachers of .9 and .6 weigh two rows with .6 and .4 (0.9 / 1.5 and 0.6 / 1.5)."""
    teacher = torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log()
    student = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    expected = 0.6 * torch.tensor(2.0).log() + 0.4 * torch.tensor(4.0).log()
    torch.testing.assert_close(confidence_weighted(student, teacher, torch.tensor([0, 0])), expected)


def test_confidence_weights_sum_to_one() -> None:
    """A student that is equally wrong everywhere has a weighted loss that no teacher can change."""
    student, targets = torch.zeros(5, 4), torch.arange(5) % 4
    for seed in range(5):
        found = confidence_weighted(student, slow.draw(5, 4, 5.0, seed), targets)
        assert found.item() == pytest.approx(torch.tensor(4.0).log().item(), rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_shuffle_keeps_the_values_and_the_largest_in_its_place(scale: float, classes: int) -> None:
    logits = slow.draw(50, classes, scale)
    found = permuted(logits, chances(torch.arange(50), classes, 0.25))
    assert torch.equal(found.sort(1).values, logits.sort(1).values)
    top = logits.argmax(1, keepdim=True)
    assert torch.equal(found.gather(1, top), logits.gather(1, top))
    if classes == 2:
        assert torch.equal(found, logits)


def test_a_shuffle_is_a_function_of_row_and_progress_and_favours_no_place() -> None:
    index = torch.arange(6000)
    logits = torch.tensor([9.0, 0.0, 1.0, 2.0]).expand(6000, 4)
    found = permuted(logits, chances(index, 4, 0.5))
    assert torch.equal(found, permuted(logits, chances(index, 4, 0.5)))
    assert torch.equal(found[:10], permuted(logits[:10], chances(index[:10], 4, 0.5)))
    assert not torch.equal(found, permuted(logits, chances(index, 4, 0.501)))
    orders = {tuple(row) for row in found.tolist()}
    assert len(orders) == 6
    for order in orders:
        share = (found == torch.tensor(order)).all(1).float().mean().item()
        assert share == pytest.approx(1 / 6, abs=0.02)


def test_shuffles_of_two_steps_and_of_two_rows_are_unrelated() -> None:
    keys = [chances(torch.arange(4000), 3, progress).double() for progress in (0.1, 0.1 + 1 / 3000)]
    columns = torch.stack([*keys[0].T, *keys[1].T, keys[0][:, 0].roll(1)])
    assert (columns.corrcoef() - torch.eye(7)).abs().max().item() < 0.06
    assert keys[0].min().item() >= 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["kd", "cwtm", "dkpp"])
def test_half_precision_is_near(mode: str, dtype: torch.dtype) -> None:
    *_, batch = situation(BAN())
    method = BAN(mode=mode)
    cut = {
        side: Outputs(outputs.logits.to(dtype), ())
        for side, outputs in (("student", batch.student), ("teacher", batch.teacher))
    }
    found = method.terms(batch._replace(**cut), None)["kd"].value
    assert found.item() == pytest.approx(method.terms(batch, None)["kd"].value.item(), rel=0.05, abs=0.02)


def test_one_generation_is_plain_distillation() -> None:
    *_, batch = situation(BAN())
    knobs = {"temperature": 3.0, "label_weight": 0.4, "kd_weight": 2.0}
    ours, theirs = BAN(**knobs).terms(batch, None), KD(**knobs).terms(batch, None)
    assert {name: (t.weight, t.value.item()) for name, t in ours.items()} == {
        name: (t.weight, t.value.item()) for name, t in theirs.items()
    }


def test_unlabelled_rows_are_weighted_towards_the_teachers_choice() -> None:
    *_, batch = situation(BAN())
    none = batch._replace(labels=torch.full_like(batch.labels, -1))
    chosen = batch._replace(labels=batch.teacher.logits.argmax(1))
    method = BAN(mode="cwtm")
    assert method.terms(none, None)["kd"].value == method.terms(chosen, None)["kd"].value


@pytest.mark.parametrize("mode", ["kd", "cwtm", "dkpp"])
def test_the_target_shown_is_the_one_that_is_imitated(mode: str) -> None:
    """A student that says what is shown has the least loss: no divergence, or none of the labels'."""
    *_, batch = situation(BAN(), unlabelled=False)
    method = BAN(mode=mode)
    target = method.arrays(batch, None)["target"]
    torch.testing.assert_close(target.sum(1), torch.ones(len(target)))
    copied = batch._replace(student=Outputs((target + 1e-12).log(), ()))
    assert method.terms(copied, None)["kd"].value.item() == pytest.approx(0.0, abs=1e-5)
    if mode == "dkpp":
        assert not torch.allclose(target, log_probs(batch.teacher.logits).exp())
