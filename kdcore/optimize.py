"""The update rule and the course of the learning rate, both functions of the schedule alone."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from kdcore.spec import Schedule


def optimizer(schedule: Schedule, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The update rule of `schedule`; fused, which costs a tiny network a third less per step."""
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=schedule.lr,
            momentum=schedule.momentum,
            weight_decay=schedule.weight_decay,
            nesterov=schedule.nesterov and schedule.momentum > 0,
            fused=True,
        )
    rule = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
    return rule(
        parameters, lr=schedule.lr, betas=(schedule.momentum, 0.999), weight_decay=schedule.weight_decay, fused=True
    )


def apply(schedule: Schedule, rule: torch.optim.Optimizer) -> None:
    """Carry a changed schedule over to an optimiser under way."""
    for group in rule.param_groups:
        group["weight_decay"] = schedule.weight_decay
        if schedule.optimizer == "sgd":
            group["momentum"] = schedule.momentum
        else:
            group["betas"] = (schedule.momentum, 0.999)


def learning_rate(schedule: Schedule, step: int) -> float:
    """The learning rate of the update that follows `step` finished ones."""
    done = step / schedule.steps
    if done < schedule.warmup:
        return schedule.lr * (step + 1) / (schedule.warmup * schedule.steps + 1)
    share = (done - schedule.warmup) / (1 - schedule.warmup)
    if schedule.decay == "cosine":
        return schedule.lr * 0.5 * (1 + math.cos(math.pi * share))
    if schedule.decay == "linear":
        return schedule.lr * (1 - share)
    if schedule.decay == "step":
        return schedule.lr * schedule.gamma ** sum(done >= milestone for milestone in schedule.milestones)
    return schedule.lr
