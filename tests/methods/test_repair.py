"""Repairs of a wrong teacher against slow float64 loops of their equations, and identities they keep."""

import math

import pytest
import torch
from slow import Row, divergence, draw, label_loss, log_softmax, rows_of, soft_kl, softmax
from wrong_teacher import batch_of, drawn, rest_of, swapped, top_of, values

from kdcore.contracts.method import Batch, Method
from kdcore.contracts.outputs import Outputs
from kdcore.methods.dkd import dkd_losses
from kdcore.methods.kd import KD
from kdcore.methods.loca import LoCa
from kdcore.methods.lr import LR, revised
from kdcore.methods.rc import RC, raised
from kdcore.methods.rld import RLD, at_or_above, confidence_loss, ranked_loss, refined
from kdcore.methods.sld import SLD
from kdcore.methods.swap_la import SwapLA
from kdcore.nn.losses import calibrated, kd_loss, log_probs, standardised, without, wrong

torch.set_num_threads(1)
REPAIRS = [SwapLA, LR, LoCa, SLD, RLD]
SCALES = [0.0, 1.0, 30.0, 1e3]


def slow_calibrated(row: Row, y: int, alpha: float) -> list[float]:
    """Probabilities."""
    p, k = softmax(row), top_of(row)
    if k == y:
        return p
    s = alpha / (1 - p[y] + p[k])
    return [1 - s * (1 - p[y]) if c == y else s * value for c, value in enumerate(p)]


def slow_rld(batch: Batch, temperature: float, confidence_temperature: float) -> tuple[float, float]:
    student, teacher = (rows_of(side.logits) for side in (batch.student, batch.teacher))
    confidence, ranked = [], []
    for s, t, y in zip(student, teacher, batch.labels.tolist(), strict=True):
        log_p, log_q, m = log_softmax(t, confidence_temperature), log_softmax(s, confidence_temperature), top_of(t)
        confidence.append(divergence([log_p[m], rest_of(log_p, m)], [log_q[y], rest_of(log_q, y)]))
        below = [c for c in range(len(t)) if t[c] < t[y]]
        kept = [log_softmax([row[c] for c in below], temperature) for row in (t, s)] if below else [[0.0], [0.0]]
        ranked.append(divergence(*kept))
    n = len(student)
    return confidence_temperature**2 * math.fsum(confidence) / n, temperature**2 * math.fsum(ranked) / n


# ---- SwapLA and RC


@pytest.mark.parametrize("scale", SCALES)
def test_swap_la_is_the_slow_loop(scale: float) -> None:
    batch = drawn(scale=scale)
    expected = soft_kl(batch.student.logits, swapped(batch.teacher.logits, batch.labels), 4.0)
    assert values(SwapLA(), batch)["kd"] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert [term.weight for term in SwapLA().terms(batch, None).values()] == [0.0, 1.0]


@pytest.mark.parametrize("scale", SCALES)
def test_rc_is_the_slow_loop(scale: float) -> None:
    batch = drawn()
    batch = batch._replace(student=Outputs(draw(6, 5, scale), ()))
    target = [
        [value + max(row) * (c == y) for c, value in enumerate(row)]
        for row, y in zip(rows_of(batch.student.logits), batch.labels.tolist(), strict=True)
    ]
    expected = {
        "labels": label_loss(batch.student.logits, batch.labels),
        "kd": soft_kl(batch.student.logits, batch.teacher.logits, 4.0),
        "correction": soft_kl(batch.student.logits, torch.tensor(target, dtype=torch.float64), 4.0),
    }
    assert values(RC(), batch) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert [term.weight for term in RC().terms(batch, None).values()] == [1.0, 1.0, 0.1]


def test_rc_raises_the_true_class_or_lowers_it_where_all_logits_are_negative() -> None:
    logits = torch.tensor([[1.0, 3.0], [-1.0, -3.0]], requires_grad=True)
    found = raised(logits, torch.tensor([0, 1]))
    assert found.tolist() == [[4.0, 3.0], [-1.0, -4.0]]
    assert not found.requires_grad
    batch = batch_of(logits.detach(), draw(2, 2), torch.tensor([0, 1]))
    assert RC().metrics(batch, None)["student_repaired"].item() == 0.5
    torch.testing.assert_close(RC().arrays(batch, None)["target"], found.softmax(1))


# ---- calibration: LoCa and LR


def test_calibration_by_hand() -> None:
    """p = (.2, .6, .2), y = 0: s = .8 / 1.4 = 4/7, so p' = (1 - .8 * 4/7, .6 * 4/7, .2 * 4/7)."""
    log_p = torch.tensor([[0.2, 0.6, 0.2]]).log()
    expected = torch.tensor([[1 - 0.8 * 4 / 7, 0.6 * 4 / 7, 0.2 * 4 / 7]])
    torch.testing.assert_close(calibrated(log_p, torch.tensor([0]), 0.8).exp(), expected)
    assert torch.equal(calibrated(log_p, torch.tensor([1]), 0.8), log_p)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.0])
def test_calibrated_probabilities_sum_to_one_lead_by_one_minus_alpha_and_keep_ratios(
    alpha: float, scale: float
) -> None:
    teacher, targets = draw(30, 5, scale).double(), torch.arange(30) % 5
    log_p = teacher.log_softmax(1)
    found = calibrated(log_p, targets, alpha)
    for row, y in enumerate(targets.tolist()):
        expected = slow_calibrated(teacher[row].tolist(), y, alpha)
        p, k = found[row].exp(), top_of(teacher[row].tolist())
        assert p.tolist() == pytest.approx(expected, abs=1e-12)
        assert p.sum().item() == pytest.approx(1.0)
        if k != y:
            assert (p[y] - p[k]).item() == pytest.approx(1 - alpha, abs=1e-12)
            assert alpha == 1.0 or int(p.argmax()) == y
            ratios = [(found[row, c] - log_p[row, c]).item() for c in range(5) if c != y]
            assert max(ratios) - min(ratios) == pytest.approx(0.0, abs=1e-9)


def test_calibration_of_a_teacher_that_is_sure_and_wrong_is_finite() -> None:
    teacher = torch.tensor([[1e3, -1e3, 0.0]])
    for alpha in (0.5, 1.0):
        found = calibrated(log_probs(teacher), torch.tensor([1]), alpha)
        assert found.isfinite().all()
        assert found.exp()[0].tolist() == pytest.approx([alpha / 2, 1 - alpha / 2, 0.0])
        assert kd_loss(draw(1, 3), found, 4.0).isfinite()


@pytest.mark.parametrize("scale", SCALES)
def test_loca_is_the_slow_loop(scale: float) -> None:
    batch, method = drawn(scale=min(scale, 30.0)), LoCa(temperature=3.0, alpha=0.7)
    rows = zip(rows_of(batch.teacher.logits), batch.labels.tolist(), strict=True)
    target = [[math.log(p) for p in slow_calibrated(row, y, 0.7)] for row, y in rows]
    expected = soft_kl(batch.student.logits, torch.tensor(target, dtype=torch.float64), 3.0)
    assert values(method, batch)["kd"] == pytest.approx(expected, rel=2e-5, abs=1e-5)
    assert [term.weight for term in method.terms(batch, None).values()] == [0.1, 0.9]


def test_loca_and_the_swap_are_plain_distillation_where_the_teacher_is_right() -> None:
    batch = drawn()
    batch = batch._replace(labels=batch.teacher.logits.argmax(1))
    plain = values(KD(), batch)["kd"]
    assert values(LoCa(), batch)["kd"] == pytest.approx(plain, rel=1e-5)
    assert values(SwapLA(), batch)["kd"] == plain
    for method in (LoCa(), SwapLA(), LR()):
        assert method.metrics(batch, None)["teacher_repaired"].item() == 0


@pytest.mark.parametrize("scale", SCALES)
def test_lr_is_the_slow_loop_over_right_and_wrong_rows(scale: float) -> None:
    batch, eta = drawn(20, scale=scale), 0.8
    logits, revision, right = [], [], []
    student, teacher = (rows_of(side.logits) for side in (batch.student, batch.teacher))
    for row, (s, t, y) in enumerate(zip(student, teacher, batch.labels.tolist(), strict=True)):
        if top_of(t) == y:
            right.append(row)
            logits += [(a - b) ** 2 for a, b in zip(s, t, strict=True)]
        else:
            p = softmax(t)
            b = eta / (1 + max(p) - p[y])
            target = [b * value + (1 - b) * (c == y) for c, value in enumerate(p)]
            revision += [(math.exp(a) - value) ** 2 for a, value in zip(log_softmax(s), target, strict=True)]
    assert right
    assert revision
    expected = {
        "labels": label_loss(batch.student.logits[right], batch.labels[right]),
        "logits": math.fsum(logits) / len(logits),
        "revision": math.fsum(revision) / len(revision),
    }
    assert values(LR(), batch) == pytest.approx(expected, rel=2e-5, abs=1e-6)
    assert [term.weight for term in LR().terms(batch, None).values()] == [1.0, 4.0, 1.0]


def test_the_target_of_lr_is_that_of_loca() -> None:
    batch = drawn()
    torch.testing.assert_close(LR(eta=0.7).arrays(batch, None), LoCa(alpha=0.7).arrays(batch, None))
    assert torch.equal(revised(batch.teacher.logits, batch.labels, 0.7), LR(eta=0.7).arrays(batch, None)["target"])


def test_lr_with_no_row_of_a_kind_is_zero_there() -> None:
    batch = drawn()
    right = batch._replace(labels=batch.teacher.logits.argmax(1))
    off = batch._replace(labels=batch.teacher.logits.argmin(1))
    assert values(LR(), right)["revision"] == 0
    assert (values(LR(), off)["logits"], values(LR(), off)["labels"]) == (0, 0)


# ---- RLD


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("rows", "classes"), [(6, 5), (4, 2), (1, 3)])
def test_rld_is_the_slow_loop(rows: int, classes: int, scale: float) -> None:
    batch, method = drawn(rows, classes, scale), RLD(temperature=3.0, confidence_temperature=2.0)
    found = values(method, batch)
    expected = slow_rld(batch, 3.0, 2.0)
    assert (found["confidence"], found["ranked"]) == pytest.approx(expected, rel=5e-5, abs=1e-5)
    assert found["labels"] == pytest.approx(label_loss(batch.student.logits, batch.labels), rel=1e-5)


def test_rld_is_decoupled_distillation_where_the_teacher_is_right() -> None:
    student, teacher = draw(20, 5), draw(20, 5, seed=1)
    targets = teacher.argmax(1)
    ours = [loss(student, teacher, targets, 4.0) for loss in (confidence_loss, ranked_loss)]
    torch.testing.assert_close(ours, list(dkd_losses(student, teacher, targets, 4.0)))
    off = teacher.argsort(1)[:, -2]  # where it is wrong they part
    assert confidence_loss(student, teacher, off, 4.0) != dkd_losses(student, teacher, off, 4.0)[0]
    assert ranked_loss(student, teacher, off, 4.0) != dkd_losses(student, teacher, off, 4.0)[1]


def test_a_true_class_that_is_ranked_last_leaves_nothing_to_compare() -> None:
    student, teacher = draw(6, 5).requires_grad_(), draw(6, 5, seed=1)
    for logits in (teacher, torch.ones(6, 5)):
        loss = ranked_loss(student, logits, logits.argmin(1), 4.0)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(student.grad, torch.zeros(6, 5))


def test_the_mask_of_rld_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0], [3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    found = at_or_above(logits, torch.tensor([2, 0, 1]))
    assert found.tolist() == [[True, False, True, False], [True, False, False, False], [True, True, False, False]]
    batch = batch_of(draw(3, 4), logits, torch.tensor([2, 0, 1]))
    assert RLD().metrics(batch, None)["teacher_repaired"].item() == pytest.approx(2 / 3)
    kept = without(log_probs(logits), found).exp().masked_fill(found, 0)
    torch.testing.assert_close(kept.sum(1), torch.ones(3))


def test_what_rld_asks_for_by_hand() -> None:
    """p = (.5, .2, .2, .1): y = 1 and 2 take the .5; y = 3, ranked last, leaves the rest as the teacher has it."""
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log().repeat(4, 1)
    expected = [
        [0.5, 0.25, 0.15, 0.1],
        [0.0, 0.5, 0.5 * 0.15 / 0.25, 0.5 * 0.1 / 0.25],
        [0.0, 0.0, 0.5, 0.5],
        [0.5 * 0.5 / 0.9, 0.5 * 0.25 / 0.9, 0.5 * 0.15 / 0.9, 0.5],
    ]
    torch.testing.assert_close(refined(logits, torch.arange(4)), torch.tensor(expected))
    sure = refined(torch.tensor([[1e3, -1e3], [1e3, -1e3]]), torch.tensor([0, 1]))
    assert sure.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_student_that_gives_what_rld_asks_for_costs_nothing() -> None:
    teacher = draw(8, 5)
    targets = torch.arange(8) % 5
    student = refined(teacher, targets).clamp(min=1e-30).log()
    assert confidence_loss(student, teacher, targets, 1.0).item() == pytest.approx(0.0, abs=1e-6)
    assert ranked_loss(student, teacher, targets, 1.0).item() == pytest.approx(0.0, abs=1e-6)


def test_rld_of_standardised_logits_does_not_see_shift_and_scale() -> None:
    batch = drawn()
    moved = batch._replace(
        student=Outputs(3 * batch.student.logits + 2, ()), teacher=Outputs(standardised(batch.teacher.logits), ())
    )
    ours, theirs = (values(RLD(standardise=True), one) for one in (batch, moved))
    assert {key: ours[key] for key in ("confidence", "ranked")} == pytest.approx(
        {key: theirs[key] for key in ("confidence", "ranked")}, rel=1e-4
    )
    assert values(RLD(), batch)["ranked"] != pytest.approx(values(RLD(), moved)["ranked"], rel=1e-3)


def test_rld_fades_in() -> None:
    batch, method = drawn(), RLD(alpha=2.0, beta=8.0, warmup=0.2)
    for progress, share in [(0.0, 0.0), (0.1, 0.5), (0.9, 1.0)]:
        terms = method.terms(batch._replace(progress=progress), None)
        assert [term.weight for term in terms.values()] == [1.0, 2.0 * share, 8.0 * share]


# ---- all of them


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", [SwapLA(), RC(), LR(), LoCa(), SLD(), RLD()])
def test_half_precision_is_computed_in_float32(method: Method, dtype: torch.dtype) -> None:
    views = [(draw(6, 5, 3.0, seed).to(dtype), draw(6, 5, 300.0, seed + 1).to(dtype)) for seed in (0, 2)]
    labels = torch.arange(6) % 5
    half = batch_of(*views[0], labels, views[1])
    full = batch_of(*(z.float() for z in views[0]), labels, (views[1][0].float(), views[1][1].float()))
    assert values(method, half) == pytest.approx(values(method, full), rel=1e-6)


@pytest.mark.parametrize("repair", [*REPAIRS, RC])
def test_targets_that_are_shown_are_probabilities_and_right(repair: type[Method]) -> None:
    batch = drawn(12, scale=3.0)
    target = repair().arrays(batch, None)["target"]
    torch.testing.assert_close(target.sum(1), torch.ones(12))
    if repair not in (RC, RLD):  # these promise less
        assert not wrong(target, batch.targets).any()
    correct = ~wrong(batch.teacher.logits, batch.targets)
    if repair is not RC:  # which corrects the student
        torch.testing.assert_close(target[correct], batch.teacher.logits.softmax(1)[correct])


def test_an_unlabelled_row_is_right_by_definition_on_the_usual_view() -> None:
    batch = drawn()
    none = batch._replace(labels=torch.full((6,), -1))
    chosen = batch._replace(labels=batch.teacher.logits.argmax(1))
    for method in (SLD(), SwapLA(), LoCa(), RLD()):
        ours, theirs = values(method, none), values(method, chosen)
        assert {key: ours[key] for key in ours if key != "labels"} == {k: theirs[k] for k in ours if k != "labels"}
        assert ours["labels"] == 0
    assert SwapLA().metrics(none, None)["teacher_repaired"].item() == 0
