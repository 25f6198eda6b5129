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

from kdcore.spec.schedule import Schedule

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
        gpu = bool(self.weights) and self.weights[0].is_cuda
        self.felt = torch.zeros((), dtype=torch.float32, device=self.weights[0].device) if gpu else None
        self.recorded = False  # whether a step is recorded for a graph, whose rate is tuned from outside

    def forget_gradients(self) -> None:
        """Before a backward pass."""
        for weight in self.weights:
            weight.grad = None

    def tune(self, rate: float) -> None:
        """Write the next step's learning rate to where a GPU's kernels read it, so that a captured step follows."""
        if self.felt is not None:
            self.felt.fill_(rate)

    def step(self, rate: float) -> None:
        """Update the weights from their gradients with learning rate `rate`."""
        if not self.recorded:
            self.tune(rate)
        reached = [place for place, weight in enumerate(self.weights) if weight.grad is not None]
        weights: list[Tensor] = [self.weights[place] for place in reached]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        momenta = [self.momenta[place] for place in reached]
        with torch.no_grad():
            lr = rate if self.felt is None else self.felt
            if self.schedule.optimizer == "sgd":
                self._sgd(weights, gradients, momenta, lr)
            else:
                self._adam(weights, gradients, momenta, reached, lr)

    def _sgd(self, weights: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], lr: float | Tensor) -> None:
        schedule = self.schedule
        sgd(
            weights, gradients, list[Tensor | None](momenta), fused=True, lr=lr, momentum=schedule.momentum,
            weight_decay=schedule.weight_decay, dampening=0.0, maximize=False,
            nesterov=schedule.nesterov and schedule.momentum > 0,
        )  # fmt: skip

    def _adam(
        self,
        weights: list[Tensor],
        gradients: list[Tensor],
        momenta: list[Tensor],
        reached: list[int],
        lr: float | Tensor,
    ) -> None:
        squares = [self.squares[place] for place in reached]
        counts = [self.counts[place] for place in reached]
        adam(
            weights, gradients, momenta, squares, [], counts, fused=True, amsgrad=False, beta1=self.schedule.momentum,
            beta2=BETA2, lr=lr, weight_decay=self.schedule.weight_decay, eps=EPSILON, maximize=False,
            decoupled_weight_decay=self.schedule.optimizer == "adamw",
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """Return what a resume needs, by name."""
        parts = {"momentum": self.momenta, "square": self.squares, "count": self.counts}
        return {f"{name}.{place}": tensor for name, part in parts.items() for place, tensor in enumerate(part)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def learning_rate(schedule: Schedule, step: int) -> float:
    """Return the learning rate of the update that follows `step` finished ones."""
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
