r"""Knowledge distillation: the student matches the teacher's softened probabilities and, a little, the true labels.

Let $p = \sigma(z_t/T)$ and $q = \sigma(z_s/T)$ be the softmax $\sigma$ of the teacher's and the student's logits
divided by a temperature $T$. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$
times $T^2\,\mathrm{KL}(p\,\|\,q)$. The factor $T^2$ keeps the gradient on the student's logits, $T (q - p)/B$ for a
batch of $B$ rows, at a similar scale for every temperature.

Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, NeurIPS workshop 2014, arXiv 1503.02531.
Weights .1 and .9 and temperature 4 are those of the mdistiller and RepDistiller benchmarks.

Departs from it: none; unlabelled rows take part in the second term only.

Zero when: the teacher's and the student's logits of each row differ by a constant (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, kd_loss


class KD(Method):
    """Distillation of softened probabilities."""

    title: ClassVar[str] = "Knowledge distillation"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\,"
        r"\mathrm{KL}\big(\sigma(z_t/T)\,\|\,\sigma(z_s/T)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Hinton, Vinyals and Dean, NeurIPS workshop 2014"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and softened probabilities."""
        assert batch.teacher is not None
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, batch.teacher.logits, self.temperature)),
        }
