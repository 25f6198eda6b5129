r"""DIST: the student's probabilities need not equal the teacher's, only correlate with them.

Let $P$ and $Q$, of $B$ rows and $C$ columns, be the probabilities of teacher and student at temperature $T$, and $r$
the Pearson correlation. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus $T^2$ times two terms:
$\beta$ times the mean over rows of $1 - r(P_{i:}, Q_{i:})$, and $\gamma$ times the mean over classes of $1 - r(P_{:c},
Q_{:c})$. The first preserves the relations of classes within a row, the second those of samples within a class.

Source: Huang, You, Wang, Qian and Xu, Knowledge Distillation from A Stronger Teacher, NeurIPS 2022, arXiv 2205.10536;
$\beta$ 2, $\gamma$ 2 and $T$ 4 as for CIFAR-100.

Departs from it: a row or column whose deviations are shorter than 1e-4 is divided by that, where the released code adds
1e-8 to the product of two lengths; so gradients stay bounded where one network gives all the same output. With two
classes a row's correlation is 1 or -1 whatever the gap, and only the second term teaches.

Zero when: each row and each column of $Q$ is an increasing linear function of that of $P$ (the terms "inter", "intra");
one that does not vary counts as 1.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import STANDARDISE, compared, cross_entropy, log_probs, unit


def decorrelation(rows: Tensor, others: Tensor) -> Tensor:
    """Mean of 1 minus the Pearson correlation of the rows (N, K) of both, between 0 and 2."""
    deviations = (unit(part - part.mean(1, keepdim=True)) for part in (rows, others))
    one, other = deviations
    return 1 - (one * other).sum(1).mean()


def dist_losses(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Decorrelation within rows and within classes, each times T^2.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        temperature: T > 0.
    """
    p, q = (log_probs(logits, temperature).exp() for logits in (teacher_logits, student_logits))
    return decorrelation(p, q) * temperature**2, decorrelation(p.T, q.T) * temperature**2


class DIST(Method):
    """Distillation of correlations."""

    title: ClassVar[str] = "DIST"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + T^2\Big(\frac{\beta}{B}\sum_i (1 - r(P_{i:}, Q_{i:}))"
        r" + \frac{\gamma}{C}\sum_c (1 - r(P_{:c}, Q_{:c}))\Big)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "beta": r"\beta",
        "gamma": r"\gamma",
    }
    paper: ClassVar[str] = "Huang, You, Wang, Qian and Xu, NeurIPS 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    beta: float = Field(2.0, ge=0.0, le=100.0, description="Weight of the relations of classes within a row.")
    gamma: float = Field(2.0, ge=0.0, le=100.0, description="Weight of the relations of samples within a class.")
    standardise: bool = Field(False, description=STANDARDISE)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, relations within rows and within classes."""
        inter, intra = dist_losses(*compared(batch, self.standardise), self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "inter": Term(self.beta, inter),
            "intra": Term(self.gamma, intra),
        }
