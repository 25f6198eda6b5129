r"""Label smoothing: a share of every label is spread evenly over all classes, as if by a teacher that knows nothing.

With $q$ the student's softmax over $C$ classes, the loss is $(1 - \epsilon)\,\mathrm{CE}(z_s, y)$ plus $\epsilon$ times
the cross-entropy with the uniform distribution, the mean of $-\log q_c$ over the classes.

Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, Rethinking the Inception Architecture for Computer Vision, CVPR
2016, arXiv 1512.00567; $\epsilon$ 0.1.

Departs from it: the two parts are reported apart, and the uniform part acts on unlabelled rows as well.

Zero when: never for $\epsilon > 0$; the term "uniform" is smallest, $\log C$, where the student is uniform.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, log_probs


def uniform_cross_entropy(student_logits: Tensor) -> Tensor:
    """Mean cross-entropy in nats of the student's softmax against the uniform distribution, for logits (B, C)."""
    return -log_probs(student_logits).mean()


class LabelSmoothing(Method):
    """Supervised training with softened labels."""

    title: ClassVar[str] = "Label smoothing"
    family: ClassVar[str] = "baseline"
    equation: ClassVar[str] = r"\mathcal{L} = (1-\epsilon)\,\mathrm{CE}(z_s, y) - \frac{\epsilon}{C}\sum_c \log q_c"
    symbols: ClassVar[dict[str, str]] = {"epsilon": r"\epsilon"}
    paper: ClassVar[str] = "Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, CVPR 2016"
    epsilon: float = Field(0.1, ge=0.0, le=1.0, description="Share of the label that is spread over all classes.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the uniform distribution."""
        logits = batch.student.logits
        return {
            "labels": Term(1.0 - self.epsilon, cross_entropy(logits, batch.labels)),
            "uniform": Term(self.epsilon, uniform_cross_entropy(logits)),
        }
