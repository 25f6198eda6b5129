r"""BiLD: matches the differences between the few largest logits and ignores the long tail of the others.

Take the $k$ classes that the teacher ranks highest and the differences $d_{ij} = z_i - z_j$ of all their pairs $i < j$,
in the teacher's order, for teacher ($d_t$) and student ($d_s$). A softmax over the pairs at temperature $T$ turns both
into distributions, and their KL is the teacher-led term; with the student's own $k$ highest classes it is the
student-led term. The weights are $\lambda$ for the labels (label weight), $\alpha$ for the teacher-led and $\beta$ for
the student-led term.

Source: Li, Zhou and Song, BiLD: Bi-directional Logits Difference Loss for Large Language Model Distillation, COLING
2025, arXiv 2406.13555; $k$ 8, $T$ 3 and weights 1 and 1. There is no factor $T^2$.

Departs from it: it is a method for language models, and its use on images is ours, as is the weight of the true labels;
$k$ is at most the number of classes. With two classes there is one pair and nothing to learn.

Zero when: the teacher's and the student's logits differ by a constant on the chosen classes (the terms "teacher_led"
and "student_led").
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import STANDARDISE, compared, cross_entropy, kl, log_probs


def differences(logits: Tensor, chosen: Tensor) -> Tensor:
    """Return the differences of all pairs i < j of the chosen classes (B, k) of logits (B, C), (B, k (k - 1) / 2)."""
    picked, count = logits.gather(1, chosen), chosen.shape[1]
    first, second = torch.triu_indices(count, count, offset=1, device=logits.device)
    return picked[:, first] - picked[:, second]


def difference_loss(
    student_logits: Tensor, teacher_logits: Tensor, leader: Tensor, top: int, temperature: float
) -> Tensor:
    """KL of the differences of teacher and student in nats, on the `top` largest logits of each row of the leader.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        leader: (B, C), one of both.
        top: k, cut to C.
        temperature: T > 0.
    """
    chosen = leader.float().argsort(dim=1, descending=True, stable=True)[:, :top]
    teacher, student = (differences(logits.float(), chosen) for logits in (teacher_logits, student_logits))
    return kl(log_probs(teacher, temperature), log_probs(student, temperature))


class BiLD(Method):
    """Distillation of differences of logits, led by both sides."""

    title: ClassVar[str] = "Bi-directional logit differences"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,\mathrm{KL}\big(\sigma(d_t/T)\,\|\,\sigma(d_s/T)\big)"
        r"_{\mathrm{top}_k(z_t)} + \beta\,\mathrm{KL}\big(\sigma(d_t/T)\,\|\,\sigma(d_s/T)\big)_{\mathrm{top}_k(z_s)}"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "top": "k",
        "label_weight": r"\lambda",
        "alpha": r"\alpha",
        "beta": r"\beta",
    }
    paper: ClassVar[str] = "Li, Zhou and Song, COLING 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(3.0, ge=0.1, le=100.0, description="Softens the differences; 1 = no softening.")
    top: int = Field(8, ge=2, le=64, description="Largest logits that are compared, at most all of them.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's largest logits.")
    beta: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the student's largest logits.")
    standardise: bool = Field(False, description=STANDARDISE)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, and the differences that each side leads."""
        student, teacher = compared(batch, self.standardise)
        led = [difference_loss(student, teacher, leader, self.top, self.temperature) for leader in (teacher, student)]
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "teacher_led": Term(self.alpha, led[0]),
            "student_led": Term(self.beta, led[1]),
        }
