"""Progressive self-distillation remembers each row's last answer in the row's own place."""

import pytest
import slow
import torch
from situation import TRAINING_ROWS, situation

from kdcore.contracts.outputs import Outputs
from kdcore.methods.pskd import PSKD, first_table
from kdcore.nn.losses import cross_entropy, soft_cross_entropy

torch.set_num_threads(1)


def slow_loss(student: torch.Tensor, last: torch.Tensor, labels: torch.Tensor, share: float) -> float:
    """Cross-entropy with the mixed target, row by row; all rows are labelled."""
    total = 0.0
    for row, before, label in zip(slow.rows_of(student), slow.rows_of(last), labels.tolist(), strict=True):
        for c, log_q in enumerate(slow.log_softmax(row)):
            total -= ((1 - share) * (c == label) + share * before[c]) * log_q
    return total / len(student)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (6, 4), (5, 2)])
def test_the_loss_is_the_slow_loop(scale: float, rows: int, classes: int) -> None:
    method = PSKD(alpha=0.6)
    *_, state, batch = situation(method, rows, classes, unlabelled=False)
    batch = batch._replace(student=Outputs(slow.draw(rows, classes, scale), ()), progress=0.5)
    state.last.copy_(slow.draw(TRAINING_ROWS, classes, 2.0, seed=1).softmax(1))
    found = sum(term.weight * term.value.item() for term in method.terms(batch, state).values())
    expected = slow_loss(batch.student.logits, state.last[:rows], batch.labels, 0.3)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_soft_cross_entropy_by_hand() -> None:
    target, student = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]]).log()
    torch.testing.assert_close(soft_cross_entropy(student, target), torch.tensor(2.0).log())
    one_hot = torch.nn.functional.one_hot(torch.tensor([2, 0]), 3)
    logits = slow.draw(2, 3)
    torch.testing.assert_close(soft_cross_entropy(logits, one_hot), cross_entropy(logits, torch.tensor([2, 0])))


def test_the_share_rises_to_alpha() -> None:
    method = PSKD()
    *_, state, batch = situation(method)
    for progress, share in [(0.0, 0.0), (0.5, 0.4), (1.0, 0.8)]:
        at = batch._replace(progress=progress)
        assert [term.weight for term in method.terms(at, state).values()] == pytest.approx([1 - share, share])
        assert method.metrics(at, state)["share"].item() == pytest.approx(share)


def test_without_alpha_it_is_the_cross_entropy() -> None:
    method = PSKD(alpha=0.0)
    *_, state, batch = situation(method)
    terms = method.terms(batch, state)
    assert terms["labels"].weight * terms["labels"].value == cross_entropy(batch.student.logits, batch.labels)
    assert terms["self"].weight == 0


def test_a_row_never_seen_has_its_label_and_one_without_label_nothing() -> None:
    assert first_table(torch.tensor([1, -1, 0]), 2).tolist() == [[0, 1], [0, 0], [1, 0]]
    *_, state, batch = situation(PSKD(), unlabelled=False)
    first = PSKD().terms(batch, state)
    torch.testing.assert_close(first["self"].value, first["labels"].value)


def test_answers_are_kept_in_the_order_of_the_rows_and_not_of_the_draw() -> None:
    method = PSKD()
    *_, state, batch = situation(method)
    before = state.last.clone()
    drawn = torch.tensor([7, 3, 39, 0, 12, 5])
    batch = batch._replace(index=drawn)
    method.after_step(batch, state)
    for place, row in enumerate(drawn.tolist()):
        expected = slow.softmax(slow.rows_of(batch.student.logits)[place])
        assert state.last[row].tolist() == pytest.approx(expected, abs=1e-6)
    others = [row for row in range(TRAINING_ROWS) if row not in drawn.tolist()]
    assert torch.equal(state.last[others], before[others])
    assert method.metrics(batch, state)["drift"].item() == pytest.approx(0.0, abs=1e-6)
    assert torch.equal(method.earlier(batch._replace(index=torch.tensor([3])), state)[0], state.last[3])


def test_the_table_is_a_buffer_and_has_no_gradient() -> None:
    *_, state, batch = situation(PSKD())
    PSKD().after_step(batch, state)
    assert set(state.state_dict()) == {"last"}
    assert not state.last.requires_grad
    assert not list(state.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    method = PSKD()
    *_, state, batch = situation(method)
    method.after_step(batch, state)
    cut = batch._replace(student=Outputs(batch.student.logits.to(dtype), ()))
    for name, term in method.terms(cut, state).items():
        assert term.value.item() == pytest.approx(method.terms(batch, state)[name].value.item(), rel=0.02)
    method.after_step(cut, state)
    assert state.last.dtype == torch.float32
