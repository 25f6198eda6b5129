r"""Teacher assistants: networks of intermediate size between teacher and student, each taught by the one above it.

Each member of the chain minimises label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times
$T^2\,\mathrm{KL}(\sigma(z_a/T)\,\|\,\sigma(z_s/T))$, with $z_a$ the logits of its own teacher and $z_s$ its own. With
no assistant this is plain distillation.

Source: Mirzadeh, Farajtabar, Li, Levine, Matsukawa and Ghasemzadeh, Improved Knowledge Distillation via Teacher
Assistant, AAAI 2020, arXiv 1902.03393.

Departs from it: the divergence is summed over classes, where the released code takes the mean over classes as well and
is thus $C$ times weaker; weights and temperature are those of plain distillation, where the paper searches them for
each pair; the assistants' sizes are spread evenly on a logarithmic scale of parameters.

Zero when: the logits of the student and of the last assistant differ by a constant in each row (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Lineage, Method, Term
from kdcore.nn.losses import cross_entropy, kd_loss


class TAKD(Method):
    """Distillation in several steps of size."""

    title: ClassVar[str] = "Teacher assistants"
    family: ClassVar[str] = "teachers"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\,"
        r"\mathrm{KL}\big(\sigma(z_a/T)\,\|\,\sigma(z_s/T)\big), \quad t \to a_1 \to \dots \to a \to s"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Mirzadeh, Farajtabar, Li, Levine, Matsukawa and Ghasemzadeh, AAAI 2020"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    lineage: ClassVar[Lineage] = "assistants"
    fixed: ClassVar[frozenset[str]] = frozenset({"assistants"})
    assistants: int = Field(1, ge=0, le=3, description="Networks between teacher and student; 0 is plain distillation.")
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the probabilities of the teacher above.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the softened probabilities of the one above."""
        assert batch.teacher is not None
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, batch.teacher.logits, self.temperature)),
        }
