r"""Multi-level distillation: rows, classes and samples are matched, on two views of an image and at five temperatures.

Let $P$ and $Q$, of $B$ rows and $C$ columns, be the probabilities of teacher and student at temperature $T$: $P^\top P$
measures how similar classes are, and $PP^\top$ how similar samples are. On one view the loss is label weight $\lambda$
times $\mathrm{CE}(z_s, y)$ plus a sum over temperatures of three terms: KD weight $\alpha$ times
$T^2\,\mathrm{KL}(P\,\|\,Q)$, class weight $\beta$ times $\|P^\top P - Q^\top Q\|_F^2/C$, and batch weight $\gamma$
times $\|PP^\top - QQ^\top\|_F^2/B$. The losses of the usual view and of a strongly augmented one are added.

Source: Jin, Wang and Lin, Multi-level Logit Distillation, CVPR 2023. Weights .1 and .9 and temperatures 2 to 6 are
those of the released code.

Departs from it: the released code takes the usual view's logits for the strong view at temperatures 2 and 6, computes
but does not add the matrices of the strong view, and multiplies its confidence masks into terms that are already
averaged, which makes them a constant factor of about a half, on the usual view alone. Here each view uses its own
logits at every temperature, all three levels count on both views, and there is no mask. Divided by C as released, the
term of classes grows as $(B/C)^2$: at weight .9 it is small for batches of 64 with 100 classes, and makes a student of
10 classes diverge at the usual learning rate. It needs twice the forward passes, so it costs more than methods with one
view.

Zero when: the teacher's and the student's logits of each row differ by a constant (the terms "kd", "classes", "batch").
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Term
from kdcore.nn.losses import STANDARDISE, compared, cross_entropy, kd_loss, log_probs

AROUND = (-2.0, -1.0, 0.0, 1.0, 2.0)  # the five temperatures, from the middle one


def gram_gap(rows: Tensor, others: Tensor) -> Tensor:
    """Squared difference of the products of all pairs of rows (N, K), per row; a scalar."""
    return (rows @ rows.T - others @ others.T).square().sum() / len(rows)


def levels(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return the three divergences (3,) at one temperature: of rows (times T^2), of classes and of samples.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        temperature: T > 0.
    """
    p, q = (log_probs(logits, temperature).exp() for logits in (teacher_logits, student_logits))
    return torch.stack((kd_loss(student_logits, teacher_logits, temperature), gram_gap(p.T, q.T), gram_gap(p, q)))


class MLKD(Method):
    """Distillation of rows, classes and samples."""

    title: ClassVar[str] = "Multi-level KD"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \sum_{\mathrm{views}}\lambda\,\mathrm{CE}(z_s, y) + \sum_T \Big(\alpha\,T^2\,"
        r"\mathrm{KL}(P\,\|\,Q) + \frac{\beta}{C}\|P^\top P - Q^\top Q\|_F^2"
        r" + \frac{\gamma}{B}\|PP^\top - QQ^\top\|_F^2\Big)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "class_weight": r"\beta",
        "batch_weight": r"\gamma",
    }
    paper: ClassVar[str] = "Jin, Wang and Lin, CVPR 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"second_view"})
    rate: ClassVar[float] = 0.1
    temperature: float = Field(4.0, ge=2.5, le=100.0, description="The middle one of five temperatures, one apart.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")
    class_weight: float = Field(
        0.9, ge=0.0, le=100.0, description="Weight of the class similarities; use less with few classes."
    )
    batch_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the sample similarities.")
    standardise: bool = Field(False, description=STANDARDISE)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, rows, classes and samples, each on both views."""
        assert batch.second is not None
        views = batch, batch._replace(student=batch.second.student, teacher=batch.second.teacher)
        labels = [cross_entropy(view.student.logits, view.labels) for view in views]
        pairs = [compared(view, self.standardise) for view in views]
        found = sum(levels(*pair, self.temperature + more) for pair in pairs for more in AROUND)
        assert isinstance(found, Tensor)
        return {
            "labels": Term(self.label_weight, labels[0] + labels[1]),
            "kd": Term(self.kd_weight, found[0]),
            "classes": Term(self.class_weight, found[1]),
            "batch": Term(self.batch_weight, found[2]),
        }
