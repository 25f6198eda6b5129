"""Two networks that learn together: each is pulled by the other, and neither through the other."""

import pytest
import slow
import torch
from situation import nets, situation
from torch import Tensor

from kdcore.contracts.method import Term
from kdcore.contracts.outputs import Outputs
from kdcore.methods.bdkd import BDKD, balanced, entropies, forward_weights, trainable_copy
from kdcore.methods.dml import DML

torch.set_num_threads(1)
METHODS = [DML, BDKD]


class Says(torch.nn.Module):
    """A network in the other's place that always gives the same logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, x: Tensor) -> Outputs:
        return Outputs(self.logits, ())


def values(terms: dict[str, Term]) -> dict[str, float]:
    return {name: term.value.item() for name, term in terms.items()}


def slow_balanced(student: Tensor, teacher: Tensor, temperature: float, balance: float) -> float:
    total = 0.0
    for s, t in zip(slow.rows_of(student), slow.rows_of(teacher), strict=True):
        ours, theirs = slow.log_softmax(s, temperature), slow.log_softmax(t, temperature)
        forward = balance if slow.entropy(t) > slow.entropy(s) else 1 - balance
        total += forward * slow.divergence(theirs, ours) + (1 - forward) * slow.divergence(ours, theirs)
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3])
@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (6, 4), (5, 2)])
def test_mutual_learning_is_the_slow_loop(scale: float, rows: int, classes: int) -> None:
    *_, batch = situation(DML(), rows, classes)
    ours, theirs = slow.draw(rows, classes, scale), slow.draw(rows, classes, 2.0, seed=1)
    batch = batch._replace(student=Outputs(ours, ()))
    method = DML(temperature=2.0)
    expected = {
        "labels": slow.label_loss(ours, batch.labels) + slow.label_loss(theirs, batch.labels),
        "kd": slow.soft_kl(ours, theirs, 2.0),
        "peer": slow.soft_kl(theirs, ours, 2.0),
    }
    assert values(method.terms(batch, Says(theirs))) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3])
@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (6, 4), (5, 2)])
def test_balanced_divergences_are_the_slow_loop(scale: float, rows: int, classes: int) -> None:
    *_, batch = situation(BDKD(), rows, classes)
    ours, theirs = slow.draw(rows, classes, scale), slow.draw(rows, classes, 2.0, seed=1)
    found = values(BDKD(temperature=2.0, balance=0.8).terms(batch._replace(student=Outputs(ours, ())), Says(theirs)))
    expected = {
        "labels": slow.label_loss(ours, batch.labels) + slow.label_loss(theirs, batch.labels),
        "kd": slow_balanced(ours, theirs, 2.0, 0.8),
        "teacher": slow.soft_kl(ours, theirs, 2.0),
    }
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_balanced_by_hand() -> None:
    """p = (1/2, 1/2), q = (3/4, 1/4): the student is too sure, so the forward divergence has the larger weight."""
    teacher, student = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.75, 0.25]]).log()
    forward = 0.5 * torch.tensor(0.5 / 0.75).log() + 0.5 * torch.tensor(0.5 / 0.25).log()
    reverse = 0.75 * torch.tensor(0.75 / 0.5).log() + 0.25 * torch.tensor(0.25 / 0.5).log()
    torch.testing.assert_close(balanced(student, teacher, 1.0, 0.9), 0.9 * forward + 0.1 * reverse)
    torch.testing.assert_close(balanced(teacher, student, 1.0, 0.9), 0.1 * reverse + 0.9 * forward)


def test_the_row_decides_by_the_gap_of_entropies() -> None:
    flat, sharp = torch.zeros(1, 3), torch.tensor([[5.0, 0.0, 0.0]])
    assert forward_weights(sharp, flat, 0.75).tolist() == [0.75]
    assert forward_weights(flat, sharp, 0.75).tolist() == [0.25]
    assert forward_weights(flat, flat, 0.75).tolist() == [0.25]
    assert entropies(flat).item() == pytest.approx(torch.tensor(3.0).log().item())
    assert entropies(torch.tensor([[1e4, 0.0]])).item() == 0


@pytest.mark.parametrize("method", METHODS)
def test_equal_networks_have_nothing_to_teach_each_other(method: type[DML | BDKD]) -> None:
    *_, batch = situation(method())
    found = values(method().terms(batch, Says(batch.student.logits.detach())))
    assert found.pop("labels") > 0
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("method", METHODS)
def test_each_term_moves_only_its_network(method: type[DML | BDKD]) -> None:
    *_, batch = situation(method())
    other, ours = Says(slow.draw(6, 4)), slow.draw(6, 4, seed=1).requires_grad_()
    batch = batch._replace(student=Outputs(ours, ()))
    terms = list(method().terms(batch, other).values())
    for term, moves_ours in zip(terms[1:], (True, False), strict=True):
        found = torch.autograd.grad(term.value, [ours, other.logits], allow_unused=True)
        assert [one is not None for one in found] == [moves_ours, not moves_ours]


def test_the_peer_is_a_network_like_the_student_with_other_weights() -> None:
    student, _, state, _ = situation(DML())
    pairs = list(zip(student.parameters(), state.parameters(), strict=True))
    assert all(one.shape == other.shape for one, other in pairs)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_the_copy_of_the_teacher_says_the_same_learns_and_shares_nothing() -> None:
    teacher = nets()[1]
    copied = trainable_copy(teacher)
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(copied(x).logits, teacher(x).logits)
    assert all(weight.requires_grad for weight in copied.parameters())
    copied.train()(x).logits.sum().backward()
    theirs = {value.data_ptr() for value in teacher.state_dict().values()}
    assert theirs.isdisjoint(value.data_ptr() for value in copied.state_dict().values())
    assert not teacher.training
    assert all(weight.grad is None for weight in teacher.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_other_network_is_shown(method: type[DML | BDKD]) -> None:
    *_, state, batch = situation(method())
    state.eval()
    found = method().arrays(batch, state)
    assert torch.equal(found["paths"][0], state(batch.inputs).logits)
    if method is BDKD:
        torch.testing.assert_close(found["target"], found["paths"][0].softmax(1))
        assert set(found["forward_weight"].tolist()) <= {0.25, 0.75}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_near(method: type[DML | BDKD], dtype: torch.dtype) -> None:
    *_, batch = situation(method())
    ours, theirs = slow.draw(6, 4), slow.draw(6, 4, seed=1)
    found = values(method().terms(batch._replace(student=Outputs(ours.to(dtype), ())), Says(theirs)))
    exact = values(method().terms(batch._replace(student=Outputs(ours, ())), Says(theirs)))
    assert found == pytest.approx(exact, rel=0.05, abs=0.01)
