r"""Weight-averaged distillation: the final student is the average of its weights over the later part of training.

The loss is $T^2\,\mathrm{KL}(\sigma(z_t/T)\,\|\,\sigma(z_s/T))$ alone. From a share `start` of the run on, the weights
$\theta_i$ after every step $i$ are averaged, and after the last of $n$ steps the mean $\bar\theta$ replaces the
student's weights. Averaged weights lie in a flatter region of the loss, which generalises better to data from other
domains. No validation set is used.

Source: Berezovskiy and Morozov, Weight Averaging Improves Knowledge Distillation under Domain Shift, 2023, arXiv
2309.11446; temperature 5 as released.

Departs from it: batch normalisation's statistics are recomputed for the averaged weights, from all training rows
without augmentation. The released code begins at a tenth of the run and from a pretrained student; .5 is ours, for
random initialisation. Every step counts, and no validation rows are used.

Zero when: the teacher's and the student's logits of each row differ by a constant (the term "kd").
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import vector_to_parameters

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import Net
from kdcore.nn.losses import kd_loss


class _Average(nn.Module):
    """The running mean of a network's weights, as one vector."""

    mean: Tensor
    count: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros_like(weights))
        self.register_buffer("count", torch.zeros((), device=weights.device))

    def add(self, weights: Tensor) -> None:
        """Count one more set of weights (P,)."""
        self.count += 1
        self.mean += (weights - self.mean) / self.count

    def forward(self, weights: Tensor) -> Tensor:
        """The mean (P,), or the weights (P,) themselves while nothing has been counted."""
        return self.mean.where(self.count > 0, weights)


def _flat(weights: Iterable[Tensor]) -> Tensor:
    """Weights as one vector (P,), in whatever order they lie in memory."""
    return torch.cat([weight.flatten() for weight in weights])


def refresh(student: Net, inputs: Iterable[Tensor]) -> None:
    """Take the statistics of batch normalisation anew, as the mean over batches of inputs (B, ...), B > 1."""
    norms = [part for part in student.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain mean of all batches
        norm.train()
    for batch in inputs if norms else ():
        if len(batch) > 1:
            student(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.train()


class WAKD(Method):
    """Distillation whose student is an average over time."""

    title: ClassVar[str] = "Weight-averaged KD"
    family: ClassVar[str] = "data"
    equation: ClassVar[str] = (
        r"\mathcal{L} = T^2\,\mathrm{KL}\big(\sigma(z_t/T)\,\|\,\sigma(z_s/T)\big),\quad"
        r" \bar\theta = \frac{1}{n - n_0}\sum_{i > n_0}^{n} \theta_i"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T"}
    paper: ClassVar[str] = "Berezovskiy and Morozov, arXiv 2309.11446, 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    start: float = Field(0.5, ge=0.0, lt=1.0, description="Share of the run after which averaging begins.")
    temperature: float = Field(5.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")

    def connect(self, pair: Pair) -> nn.Module:
        """The mean, of nothing yet."""
        return _Average(_flat(pair.student_net.parameters()).detach())

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The teacher's probabilities and nothing else."""
        assert batch.teacher is not None
        return {"kd": Term(1.0, kd_loss(batch.student.logits, batch.teacher.logits, self.temperature))}

    def after_step(self, batch: Batch, state: nn.Module | None) -> None:
        """Count the weights as they are now, once averaging has begun."""
        assert isinstance(state, _Average)
        if batch.progress >= self.start:
            state.add(_flat(batch.student_net.parameters()))

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How far the weights are from their mean, relative to their length."""
        assert state is not None
        weights = _flat(batch.student_net.parameters())
        return {"distance": (weights - state(weights)).norm() / weights.norm()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Logits of the averaged student as one other path, with the statistics that the student has now."""
        assert state is not None
        names, weights = zip(*batch.student_net.named_parameters(), strict=True)
        mean = state(_flat(weights)).split([weight.numel() for weight in weights])
        averaged = {name: part.view_as(weight) for name, part, weight in zip(names, mean, weights, strict=True)}
        return {"paths": functional_call(batch.student_net, averaged, (batch.inputs,)).logits[None]}

    @torch.no_grad()
    def finalize(self, student: Net, state: nn.Module | None, inputs: Iterable[Tensor]) -> None:
        """Put the mean into the student and take its statistics anew."""
        assert state is not None
        vector_to_parameters(state(_flat(student.parameters())), student.parameters())
        refresh(student, inputs)
