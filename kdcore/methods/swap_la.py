r"""Swapping alone: where the teacher is wrong, its largest logit and the true class's are swapped, and no more.

With $\mathrm{swap}(z_t, y)$ the teacher's logits after the exchange, the loss is KD weight $\alpha$ times
$T^2\,\mathrm{KL}(\sigma(\mathrm{swap}(z_t, y)/T)\,\|\,\sigma(z_s/T))$; the label weight $\lambda$ is 0 by default. It
is the simplest correction of a wrong teacher, a baseline for the others: one view, one temperature, no true labels.

Source: a comparison method in the released code of Sun, Chen, Lyu, Chen, Chen and Wang, Knowledge Distillation with
Refined Logits, ICCV 2025, arXiv 2408.07703; $T$ 4.

Departs from it: true labels may be added; their weight is 0 by default; unlabelled rows are not changed.

Zero when: the student's logits of each row equal the teacher's swapped ones, up to a constant (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, kd_loss, swap, wrong


class SwapLA(Method):
    """Distillation of a teacher whose wrong choices change places with the label."""

    title: ClassVar[str] = "Swapped teacher"
    family: ClassVar[str] = "repair"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\,"
        r"\mathrm{KL}\big(\sigma(\mathrm{swap}(z_t, y)/T)\,\|\,\sigma(z_s/T)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Sun, Chen, Lyu, Chen, Chen and Wang, ICCV 2025 (a comparison method)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's swapped logits.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the teacher's swapped logits."""
        assert batch.teacher is not None
        logits, swapped = batch.student.logits, swap(batch.teacher.logits, batch.targets)
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, swapped, self.temperature)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Share of rows in which the swap fires."""
        assert batch.teacher is not None
        return {"teacher_repaired": wrong(batch.teacher.logits, batch.targets).float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's probabilities after the swap."""
        assert batch.teacher is not None
        return {"target": swap(batch.teacher.logits.float(), batch.targets).softmax(1)}
