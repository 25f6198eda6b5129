"""Scores against independent libraries, and the rules of the learning rate against torch's own schedulers."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from kdcore.engine.measure import compare, score
from kdcore.nn.optim import Rule, learning_rate
from kdcore.spec.schedule import Schedule


@pytest.mark.parametrize("classes", [2, 7, 100])
def test_scores_agree_with_other_libraries(classes: int) -> None:
    torch.manual_seed(classes)
    logits, labels = torch.randn(500, classes) * 3, torch.randint(0, classes, (500,))
    found = score(logits, labels)
    shares = logits.double().softmax(1)
    assert found.accuracy == pytest.approx(accuracy_score(labels, logits.argmax(1)), abs=1e-12)
    assert found.nll == pytest.approx(log_loss(labels, shares.numpy(), labels=range(classes)), abs=1e-9)
    reference = multiclass_calibration_error(shares.clamp(max=1 - 1e-7), labels, classes, n_bins=15)
    assert found.ece == pytest.approx(float(reference), abs=1e-6)


def test_confidence_one_falls_into_the_last_bin() -> None:
    logits = torch.tensor([[1000.0, 0.0], [1000.0, 0.0], [0.0, 1000.0], [1000.0, 0.0]])
    assert score(logits, torch.tensor([0, 0, 0, 0])).ece == pytest.approx(0.25)


def test_compare_is_agreement_and_kl_with_the_part_of_the_true_class() -> None:
    student, teacher, labels = torch.randn(50, 5), torch.randn(50, 5), torch.arange(50) % 5
    found = compare(student, teacher, labels)
    assert found["agreement"] == pytest.approx(float((student.argmax(1) == teacher.argmax(1)).float().mean()))
    reference = F.kl_div(student.log_softmax(1), teacher.log_softmax(1), log_target=True, reduction="batchmean")
    assert found["kl"] == pytest.approx(float(reference), rel=1e-5)
    p, q = (logits.softmax(1)[torch.arange(50), labels] for logits in (teacher, student))
    target = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert found["kl_target"] == pytest.approx(float(target), rel=1e-5)
    assert compare(teacher, teacher, labels) == {"agreement": 1.0, "kl": 0.0, "kl_target": 0.0}


def test_learning_rate_follows_torchs_schedulers() -> None:
    steps = 40
    for decay in ("cosine", "step"):
        schedule = Schedule(steps=steps, lr=0.3, decay=decay)
        rule = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
        course = (
            torch.optim.lr_scheduler.CosineAnnealingLR(rule, steps)
            if decay == "cosine"
            else torch.optim.lr_scheduler.MultiStepLR(rule, [25, 30, 35], 0.1)
        )
        for step in range(steps):
            assert learning_rate(schedule, step) == pytest.approx(rule.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
            rule.step()
            course.step()


def test_warmup_rises_to_the_peak() -> None:
    schedule = Schedule(steps=100, lr=1.0, warmup=0.1, decay="linear")
    rates = [learning_rate(schedule, step) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] > 0
    assert max(rates) == rates[10] == 1.0
    assert math.isclose(np.mean(rates[10:]), 0.5, abs_tol=0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_rule_is_torchs_own(optimizer: str, nesterov: bool) -> None:
    schedule = Schedule(optimizer=optimizer, lr=0.1, weight_decay=0.01, nesterov=nesterov)
    ours, theirs = (
        [torch.nn.Parameter(torch.linspace(-1, 1, 6).view(2, 3)), torch.nn.Parameter(torch.ones(4))] for _ in "ab"
    )
    rule = Rule(schedule, ours)
    reference: torch.optim.Optimizer = torch.optim.SGD(theirs, 0.1, 0.9, weight_decay=0.01, nesterov=nesterov)
    if optimizer != "sgd":
        kind = torch.optim.Adam if optimizer == "adam" else torch.optim.AdamW
        reference = kind(theirs, 0.1, weight_decay=0.01)
    for step in range(5):
        rule.forget_gradients()
        reference.zero_grad()
        for weights in (ours, theirs):
            reached = weights if step % 2 else weights[:1]  # a weight that is not reached is left alone
            sum((weight**3 + weight.sin()).sum() for weight in reached).backward()
        rule.step(0.1)
        reference.step()
        for left, right in zip(ours, theirs, strict=True):
            torch.testing.assert_close(left, right)
