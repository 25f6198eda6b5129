r"""Raised true class: besides its teacher, the student follows its own logits with the true class's raised.

Let $z' = z_s + \max_c z_{s,c}\,\mathbf{1}_y$, held constant: the student's largest logit is added to that of $y$. With
$p$ and $q$ the teacher's and the student's softmax at temperature $T$, the loss is label weight $\lambda$ times
$\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times $T^2\,\mathrm{KL}(p\,\|\,q)$ plus correction weight $\beta$ times
$T^2\,\mathrm{KL}(\sigma(z'/T)\,\|\,q)$. The teacher is not corrected. Where all of the student's logits are below 0,
the true class's is lowered, as in the released code.

Source: a comparison method in the released code of Sun, Chen, Lyu, Chen, Chen and Wang, Knowledge Distillation with
Refined Logits, ICCV 2025, arXiv 2408.07703; weights 1, 1 and .1 and $T$ 4.

Departs from it: none; on unlabelled rows the teacher's prediction replaces $y$ in the last term.

Zero when: the student's logits of each row differ from the teacher's by a constant (the term "kd"); its largest logit
is 0 (the term "correction").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, kd_loss, wrong


def raised(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, C), float32 and without gradient, with the largest of each row added to that of targets (B,)."""
    logits = logits.detach().float()
    return logits.scatter_add(1, targets[:, None], logits.amax(1, keepdim=True))


class RC(Method):
    """Distillation beside the student's own logits with the true class raised."""

    title: ClassVar[str] = "Raised true class"
    family: ClassVar[str] = "repair"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\,\mathrm{KL}(p\,\|\,q)"
        r" + \beta\,T^2\,\mathrm{KL}\big(\sigma(z'/T)\,\|\,q\big), \quad z' = z_s + \max_c z_{s,c}\,\mathbf{1}_y"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "correction_weight": r"\beta",
    }
    paper: ClassVar[str] = "Sun, Chen, Lyu, Chen, Chen and Wang, ICCV 2025 (a comparison method)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens all distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")
    correction_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the student's corrected logits.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, softened probabilities and the student's own corrected logits."""
        assert batch.teacher is not None
        logits = batch.student.logits
        corrected = raised(logits, batch.targets)
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, batch.teacher.logits, self.temperature)),
            "correction": Term(self.correction_weight, kd_loss(logits, corrected, self.temperature)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Share of rows in which the student is wrong and its corrected logits are right."""
        logits, targets = batch.student.logits, batch.targets
        repaired = wrong(logits, targets) & ~wrong(raised(logits, targets), targets)
        return {"student_repaired": repaired.float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The student's probabilities after the correction."""
        return {"target": raised(batch.student.logits, batch.targets).softmax(1)}
