"""The update rule and the course of the learning rate, both functions of the schedule alone.

The rule calls torch's functional optimisers. Against the classes of `torch.optim` that spares a tiny network a tenth
of its step, and a fresh process the seconds in which those load the compiler that nobody uses here.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from kdcore.spec import Schedule

EPSILON = 1e-8  # of Adam, as in torch
BETA2 = 0.999


class Rule:
    """SGD with momentum, Adam or AdamW over fixed weights, fused into one kernel.

    Args:
        schedule: which rule, and its constants; may be replaced between steps.
        weights: what learns; one without a gradient is left alone, as in torch.
    """

    def __init__(self, schedule: Schedule, weights: Iterable[nn.Parameter]) -> None:
        self.schedule = schedule
        self.weights = list(weights)
        self.momenta = [torch.zeros_like(weight) for weight in self.weights]
        self.squares: list[Tensor] = []
        self.counts: list[Tensor] = []
        if schedule.optimizer != "sgd":
            self.squares = [torch.zeros_like(weight) for weight in self.weights]
            self.counts = [torch.zeros((), device=weight.device) for weight in self.weights]

    def forget_gradients(self) -> None:
        """Before a backward pass."""
        for weight in self.weights:
            weight.grad = None

    def step(self, rate: float) -> None:
        """Update the weights from their gradients with learning rate `rate`."""
        reached = [place for place, weight in enumerate(self.weights) if weight.grad is not None]
        weights: list[Tensor] = [self.weights[place] for place in reached]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        momenta = [self.momenta[place] for place in reached]
        with torch.no_grad():
            if self.schedule.optimizer == "sgd":
                self._sgd(weights, gradients, momenta, rate)
            else:
                self._adam(weights, gradients, momenta, reached, rate)

    def _sgd(self, weights: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], rate: float) -> None:
        schedule = self.schedule
        sgd(
            weights, gradients, list[Tensor | None](momenta), fused=True, lr=rate, momentum=schedule.momentum,
            weight_decay=schedule.weight_decay, dampening=0.0, maximize=False,
            nesterov=schedule.nesterov and schedule.momentum > 0,
        )  # fmt: skip

    def _adam(
        self, weights: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], reached: list[int], rate: float
    ) -> None:
        squares = [self.squares[place] for place in reached]
        counts = [self.counts[place] for place in reached]
        adam(
            weights, gradients, momenta, squares, [], counts, fused=True, amsgrad=False, beta1=self.schedule.momentum,
            beta2=BETA2, lr=rate, weight_decay=self.schedule.weight_decay, eps=EPSILON, maximize=False,
            decoupled_weight_decay=self.schedule.optimizer == "adamw",
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """What a resume needs, by name."""
        parts = {"momentum": self.momenta, "square": self.squares, "count": self.counts}
        return {f"{name}.{place}": tensor for name, part in parts.items() for place, tensor in enumerate(part)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


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
