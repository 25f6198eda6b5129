r"""Logit calibration: where the teacher is wrong, all other classes are scaled down and the true class gets the rest.

Let $p$ be the teacher's softmax and $k$ its largest class. Where $k$ is not $y$, $s = \alpha/(1 - p_y + p_k)$; then
$p'_c = s\,p_c$ for all $c$ other than $y$, and $p'_y = 1 - s\,(1 - p_y)$. Elsewhere $p' = p$. So $y$ leads $k$ by
exactly $1 - \alpha$, and the other classes keep their ratios. The loss is label weight $\lambda$ times
$\mathrm{CE}(z_s, y)$ plus KD weight $\alpha_{\mathrm{KD}}$ times $T^2\,\mathrm{KL}(\sigma(\log
p'/T)\,\|\,\sigma(z_s/T))$, which is plain distillation of $p'$.

Source: Yang, Wu and Yang, LoCa: Logit Calibration for Knowledge Distillation, ECAI 2024, arXiv 2409.04778.

Departs from it: we could not read at which temperature the paper calibrates, nor its $\alpha$, and know of no released
code: $p$ is taken at temperature 1 and its calibrated form softened, and .9 is ours. Weights .1 and .9 and $T$ 4 are
those of plain distillation. The paper's other form, decoupled distillation of $p'$, is left out.

Zero when: the student's softmax is the calibrated one (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import calibrated, cross_entropy, kd_loss, log_probs, wrong


class LoCa(Method):
    """Distillation of a teacher whose wrong answers are calibrated."""

    title: ClassVar[str] = "Logit calibration"
    family: ClassVar[str] = "repair"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha_{\mathrm{KD}}\,T^2\,"
        r"\mathrm{KL}\big(\sigma(\log p'/T)\,\|\,\sigma(z_s/T)\big), \quad"
        r" p' = s\,p + (1 - s)\,\mathbf{1}_y,\ s = \frac{\alpha}{1 - p_y + p_k}"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha_{\mathrm{KD}}",
        "alpha": r"\alpha",
    }
    paper: ClassVar[str] = "Yang, Wu and Yang, ECAI 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's calibrated probabilities.")
    alpha: float = Field(
        0.9, ge=0.01, le=1.0, description="The calibrated true class leads by 1 less this; 1 is a tie."
    )

    def calibrate(self, batch: Batch) -> Tensor:
        """The teacher's log-probabilities (B, C), calibrated."""
        assert batch.teacher is not None
        return calibrated(log_probs(batch.teacher.logits), batch.targets, self.alpha)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and calibrated probabilities."""
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, self.calibrate(batch), self.temperature)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Share of rows that are calibrated."""
        assert batch.teacher is not None
        return {"teacher_repaired": wrong(batch.teacher.logits, batch.targets).float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's probabilities after calibration."""
        return {"target": self.calibrate(batch).exp()}
