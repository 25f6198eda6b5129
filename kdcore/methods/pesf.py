r"""PESF-KD: a small adapter adjusts the frozen teacher's output to the student, which keeps their gap small.

The adapter $A$ reads the teacher's features $f_t$ before the classifier, and the adapted logits are $z'_t = z_t -
A(f_t)$. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times
$T^2\,\mathrm{KL}(\sigma(z'_t/T)\,\|\,\sigma(z_s/T))$ plus adapter weight $\beta$ times $\mathrm{CE}(z'_t, y)$. The
divergence trains student and adapter; the adapter learns at adapter_rate times the student's learning rate. The
sharpness of logits $z$ is $\log \sum_c \exp(z_c/T)$; the run logs by how much the teacher's exceeds the student's.

Source: Rao and others, Parameter-Efficient and Student-Friendly Knowledge Distillation, 2022, arXiv 2205.15308, and its
released code: a linear layer from the features to $C$ values, then $C$ to 32 to $C$ with ReLU.

Departs from it: the last layer of the adapter starts at 0, so that the first target is the teacher's own, where theirs
starts at random; adapter_rate 0.1 is ours, as the released 2e-5 beside the usual 0.05 would have hardly any effect in a
short run; weights and temperature are those of plain distillation. The released code accumulates the gradients of four
batches for each step. As it scales gradients, adapter_rate has no effect under Adam, whose steps do not depend on their
size. With `swap`, as the released code has it, the student learns from the teacher itself, its largest and its true
logit swapped, and the adapter from the student, repaired in the same way. On unlabelled rows the teacher's prediction
replaces $y$ outside the term "labels".

Zero when: the student's logits and the adapted ones differ by a constant in each row (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import pooled
from kdcore.nn.losses import cross_entropy, kd_loss, log_probs, scale_gradient, swap, wrong

UNITS = 32  # of the adapter's hidden layer


def adapter(width: int, classes: int) -> nn.Module:
    """From features (B, width) to a change of logits (B, classes), 0 at first."""
    last = nn.Linear(UNITS, classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, classes), nn.Linear(classes, UNITS), nn.ReLU(), last)


def sharpness(logits: Tensor, temperature: float) -> Tensor:
    """log sum exp(z / T) of each row (B,) of logits (B, C)."""
    return (logits.float() / temperature).logsumexp(1)


class PESF(Method):
    """A teacher that is made easier to follow."""

    title: ClassVar[str] = "PESF-KD"
    family: ClassVar[str] = "teachers"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y)"
        r" + \alpha\,T^2\,\mathrm{KL}\big(\sigma(z'_t/T)\,\|\,\sigma(z_s/T)\big)"
        r" + \beta\,\mathrm{CE}(z'_t, y), \quad z'_t = z_t - A(f_t)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "adapter_weight": r"\beta",
    }
    paper: ClassVar[str] = "Rao and others, arXiv 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits", "features"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the adapted probabilities.")
    adapter_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the adapted output's own error.")
    adapter_rate: float = Field(0.1, ge=0.0, le=10.0, description="The adapter's learning rate over the student's.")
    swap: bool = Field(False, description="Correct student and teacher before the comparison, as in the released code.")

    def connect(self, pair: Pair) -> nn.Module:
        """The adapter."""
        return adapter(pair.teacher[-1][0], pair.classes)

    def adapted(self, batch: Batch, state: nn.Module | None) -> Tensor:
        """The teacher's logits (B, C) as the adapter reshapes them."""
        assert batch.teacher is not None
        assert state is not None
        found: Tensor = batch.teacher.logits.float() - state(pooled(batch.teacher.features[-1].float()))
        return found

    def taught(self, batch: Batch, state: nn.Module | None) -> Tensor:
        """The logits (B, C) that the student is asked to follow."""
        assert batch.teacher is not None
        return swap(batch.teacher.logits.float(), batch.targets) if self.swap else self.adapted(batch, state)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, the divergence from the target, and what else the adapter learns from."""
        ours, adapted = batch.student.logits.float(), scale_gradient(self.adapted(batch, state), self.adapter_rate)
        if self.swap:
            divergence = kd_loss(ours, self.taught(batch, state), self.temperature)
            divergence = divergence + kd_loss(swap(ours.detach(), batch.targets), adapted, self.temperature)
        else:
            divergence = kd_loss(ours, adapted, self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(ours, batch.labels)),
            "kd": Term(self.kd_weight, divergence),
            "adapter": Term(self.adapter_weight, cross_entropy(adapted, batch.targets)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How much sharper than the student the teacher is, before and after the adapter; repaired rows."""
        assert batch.teacher is not None
        student, teacher = sharpness(batch.student.logits, self.temperature), batch.teacher.logits
        gaps = [(sharpness(one, self.temperature) - student).mean() for one in (teacher, self.adapted(batch, state))]
        repaired = [
            wrong(logits, batch.targets).float().mean() * self.swap for logits in (teacher, batch.student.logits)
        ]
        names = ("gap_before", "gap", "teacher_repaired", "student_repaired")
        return dict(zip(names, (*gaps, *repaired), strict=True))

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The probabilities that are imitated (N, C)."""
        return {"target": log_probs(self.taught(batch, state)).exp()}
