"""CRD against a slow loop of its odds, its draw of other classes' rows, and what its memory keeps."""

import math

import numpy as np
import pytest
import torch
from situation import nets, pair, situation
from slow import normal as draw

from kdcore.contracts.net import pooled
from kdcore.methods.crd import CRD, Memory, contrast_loss, log_partition

torch.set_num_threads(1)


def slow_contrast(scores: np.ndarray, log_z: float, rows: int) -> float:
    """-log h of the own row and -log(1 - h) of the others, with h = P / (P + M / N) and P = exp(score) / Z."""
    noise = (scores.shape[1] - 1) / rows
    total = 0.0
    for row in scores:
        chances = [math.exp(score - log_z) for score in row]
        total += math.log(1 + noise / chances[0])
        total += sum(math.log(1 + chance / noise) for chance in chances[1:])
    return total / len(scores)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize(("rows", "negatives"), [(1, 1), (1, 7), (5, 3)])
def test_the_loss_is_the_slow_loop(scale: float, rows: int, negatives: int) -> None:
    scores, log_z = draw(rows, 1 + negatives, scale=scale), torch.tensor(2.5)
    expected = slow_contrast(scores.double().numpy(), 2.5, 50)
    assert contrast_loss(scores, log_z, 50).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_by_hand_and_far_out() -> None:
    even = torch.zeros(2, 3)  # P = 1/4 = M / N twice over: all odds are one half
    assert contrast_loss(even, torch.tensor(math.log(4.0)), 8).item() == pytest.approx(3 * math.log(2.0))
    sure = torch.tensor([[1e3, -1e3]])
    assert contrast_loss(sure, torch.tensor(0.0), 10).item() == 0
    wrong = contrast_loss(-sure, torch.tensor(0.0), 10).item()
    assert wrong == pytest.approx(2e3, rel=1e-4)


def test_z_makes_the_mean_share_one_over_the_rows() -> None:
    scores = draw(4, 6, scale=3.0)
    share = (scores.double() - log_partition(scores, 50).double()).exp().mean()
    assert share.item() == pytest.approx(1 / 50, rel=1e-5)


def test_others_are_all_rows_of_other_classes_and_no_row_of_the_own() -> None:
    targets = torch.tensor([2, 0, 1, 2, 2, 0, 4, 4])  # no row of class 3
    memory = Memory((3, 5), 4, targets, 5)
    rows = torch.arange(8).repeat(500)
    drawn = memory.others(rows, 3, seed=1)
    for row in range(8):
        found = drawn[rows == row].flatten().tolist()
        others = [other for other in range(8) if targets[other] != targets[row]]
        assert set(found) == set(others)
        counts = np.bincount(found, minlength=8)[others]
        assert np.abs(counts - 1500 / len(others)).max() < 5 * math.sqrt(1500 / len(others))
    assert torch.equal(drawn, memory.others(rows, 3, seed=1))
    assert not torch.equal(drawn, memory.others(rows, 3, seed=2))


def test_no_row_is_drawn_twice_for_another() -> None:
    targets = torch.arange(60) % 3
    memory = Memory((3, 5), 4, targets, 3)
    for negatives in (1, 7, 39, 40):
        drawn = memory.others(torch.arange(60), negatives, seed=negatives)
        assert all(len(set(found)) == negatives for found in drawn.tolist())
        assert (targets[drawn] != targets[:, None]).all()
    often = memory.others(torch.arange(60), 59, seed=0)  # 40 others: all of them, 19 once more
    assert all(sorted(np.bincount(found, minlength=60)) == [0] * 20 + [1] * 21 + [2] * 19 for found in often.tolist())


def test_training_rows_of_one_class_still_give_a_number() -> None:
    memory = Memory((3, 5), 4, torch.zeros(6, dtype=torch.long), 2)
    assert memory.others(torch.arange(6), 5, seed=0).shape == (6, 5)


def test_the_terms_are_both_directions_against_the_memory() -> None:
    method = CRD(label_weight=2.0, contrast_weight=3.0, kd_weight=4.0, negatives=5, temperature=0.5)
    *_, state, batch = situation(method)
    terms = method.terms(batch, state)
    assert [term.weight for term in terms.values()] == [2.0, 3.0, 4.0]
    _, scores = method._scores(batch, state)
    student, teacher = (pooled(side.features[-1]).double().detach().numpy() for side in (batch.student, batch.teacher))
    expected = 0.0
    for features, embed, bank, found in zip((student, teacher), state.embed, state.banks.flip(0), scores, strict=True):
        mapped = features @ embed.weight.double().detach().numpy().T + embed.bias.double().detach().numpy()
        unit = mapped / np.sqrt((mapped**2).sum(1, keepdims=True))
        own = [float(u @ bank[i].double().numpy()) / 0.5 for i, u in enumerate(unit)]
        assert found[:, 0].tolist() == pytest.approx(own, rel=1e-5)
        assert found.shape == (6, 6)
        every = unit @ bank.double().numpy().T / 0.5
        for row, seen in zip(every, found[:, 1:], strict=True):
            assert all(np.isclose(row, value, atol=1e-5).any() for value in seen.tolist())
        exact = found.double().detach().numpy()
        log_z = math.log(np.exp(exact).mean() * 40)
        expected += slow_contrast(exact, log_z, 40)
    assert terms["contrast"].value.item() == pytest.approx(expected, rel=1e-5)


def test_never_more_negatives_than_other_rows() -> None:
    *_, state, batch = situation(CRD())
    assert all(scores.shape == (6, 40) for scores in CRD()._scores(batch, state)[1])


@torch.no_grad()
def test_the_memory_moves_towards_the_embeddings_of_the_rows_it_saw() -> None:
    method = CRD(momentum=0.25)
    *_, state, batch = situation(method)
    batch = batch._replace(index=torch.tensor([7, 3, 11, 0, 39, 20]))
    before = state.banks.clone()
    method.after_step(batch, state)
    for bank, old, found in zip(state.banks, before, state.embeddings(batch.student, batch.teacher), strict=True):
        for row, unit in zip(batch.index.tolist(), found, strict=True):
            mixed = 0.25 * old[row] + 0.75 * unit
            torch.testing.assert_close(bank[row], mixed / mixed.square().sum().sqrt())
        unseen = [row for row in range(40) if row not in batch.index.tolist()]
        assert torch.equal(bank[unseen], old[unseen])
    assert state.log_z.isinf().all()


@torch.no_grad()
def test_z_is_set_by_the_first_step_and_kept() -> None:
    method = CRD()
    *_, state, batch = situation(method)
    first = batch._replace(progress=0.0)
    expected = [log_partition(scores, 40) for scores in method._scores(first, state)[1]]
    loss = method.terms(first, state)["contrast"].value
    method.after_step(first, state)
    kept = state.log_z.clone()
    torch.testing.assert_close(kept, torch.stack(expected))
    method.after_step(batch, state)
    assert torch.equal(state.log_z, kept)
    scores = method._scores(first, state)[1]
    again = sum(contrast_loss(each, log_z, 40) for each, log_z in zip(scores, kept, strict=True))
    assert method.terms(first, state)["contrast"].value == again != loss


def test_rows_without_a_label_belong_to_the_teachers_choice() -> None:
    method = CRD()
    told = pair(method, *nets(), classes=4)
    labels = told.labels.clone()
    labels[::2] = -1
    state = method.connect(told._replace(labels=labels))
    assert torch.equal(state.targets[::2], told.answers().logits.argmax(1)[::2])
    assert torch.equal(state.targets[1::2], told.labels[1::2])


@torch.no_grad()
def test_notes_are_the_cosines_of_own_and_of_unlike_rows() -> None:
    *_, state, batch = situation(CRD(), rows=4, classes=2)
    student, teacher = state.embeddings(batch.student, batch.teacher)
    notes = CRD().metrics(batch, state)
    own = [float(student[i] @ teacher[i]) for i in range(4)]
    unlike = [float(student[i] @ teacher[j]) for i in range(4) for j in range(4) if (i - j) % 2]
    assert notes["positive"].item() == pytest.approx(sum(own) / 4, abs=1e-6)
    assert notes["negative"].item() == pytest.approx(sum(unlike) / 8, abs=1e-6)
