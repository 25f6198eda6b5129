r"""Born-again networks: a student of its teacher's architecture learns from it and then teaches the next generation.

The loss is label weight $\lambda$ times $\mathrm{CE}(z_k, y)$ plus KD weight $\alpha$ times $D$. In mode "kd", $D =
T^2\,\mathrm{KL}(p\,\|\,q)$ with $p = \sigma(z_{k-1}/T)$ and $q = \sigma(z_k/T)$. Two ablations ask which part of $p$
helps. "cwtm" keeps only the teacher's confidence: $D$ is the cross-entropy with $y$, each row weighted by $\max p$ over
the sum of $\max p$ in the batch. "dkpp" keeps the largest probability and shuffles the others among the other classes,
row by row, which destroys all information about class similarity.

Source: Furlanello, Lipton, Tschannen, Itti and Anandkumar, Born-Again Neural Networks, ICML 2018, arXiv 1805.04770. The
two ablations are called there confidence weighted by teacher max and dark knowledge with permuted predictions.

Departs from it: weights 1 and 1 and temperature 1 are ours; the first teacher is trained on labels alone and is the one
the run names; no ensemble of the generations is formed; a new shuffle is drawn each time a row is seen, from the row's
index and the progress of the run; on unlabelled rows the teacher's prediction replaces $y$ in "cwtm". To measure an
ablation alone, set label_weight to 0.

Zero when: the teacher's and the student's logits of each row differ by a constant (the term "kd" in mode "kd").
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Lineage, Method, Term
from kdcore.nn.losses import cross_entropy, kd_loss, log_probs

SCRAMBLE = (0x1F123BB5159A55E5, 0x2545F4914F6CDD1D, 0x369DEA0F31A53F85)  # odd multipliers


def confidence_weighted(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats with targets (B,), rows weighted by the teacher's largest probability over their sum.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        targets: (B,) int64, in [0, C).
    """
    confidence = log_probs(teacher_logits).max(1).values.exp()
    rows = F.cross_entropy(student_logits.float(), targets, reduction="none")
    return (confidence / confidence.sum() * rows).sum()


def chances(index: Tensor, classes: int, progress: float) -> Tensor:
    """Numbers (B, C) int64, not negative, that look random and are a function of row number, class and progress."""
    first, second, third = SCRAMBLE
    column = torch.arange(1, classes + 1, device=index.device)
    key = index[:, None] * first + column * second + int(progress * 2**40) * third % 2**62
    key = (key ^ (key >> 31)) * second
    key = (key ^ (key >> 29)) * third
    return (key ^ (key >> 32)) & (2**62 - 1)


def permuted(logits: Tensor, keys: Tensor) -> Tensor:
    """Logits (B, C) whose largest value of each row stays, and whose others are shuffled as keys (B, C) order them."""
    largest = logits.argmax(1, keepdim=True)
    shuffled = keys.scatter(1, largest, -1).argsort(1)
    places = torch.arange(logits.shape[1], device=logits.device).expand_as(keys).scatter(1, largest, -1).argsort(1)
    return logits.scatter(1, places, logits.gather(1, shuffled))


class BAN(Method):
    """Generations of one architecture."""

    title: ClassVar[str] = "Born-again networks"
    family: ClassVar[str] = "self"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_k, y) + \alpha\,T^2\,"
        r"\mathrm{KL}\big(\sigma(z_{k-1}/T)\,\|\,\sigma(z_k/T)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Furlanello, Lipton, Tschannen, Itti and Anandkumar, ICML 2018"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    lineage: ClassVar[Lineage] = "generations"
    fixed: ClassVar[frozenset[str]] = frozenset({"generations"})
    generations: int = Field(1, ge=1, le=5, description="Generations after the first teacher.")
    mode: Literal["kd", "cwtm", "dkpp"] = Field(
        "kd", description="The teacher's whole output, its confidence only, or its other classes shuffled."
    )
    temperature: float = Field(1.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the previous generation's probabilities.")

    def taught(self, batch: Batch) -> Tensor:
        """The teacher's logits (B, C) as the mode leaves them."""
        assert batch.teacher is not None
        logits = batch.teacher.logits
        if self.mode != "dkpp":
            return logits
        return permuted(logits, chances(batch.index, logits.shape[1], batch.progress))

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, and what the mode makes of the previous generation."""
        logits = batch.student.logits
        if self.mode == "cwtm":
            learnt = confidence_weighted(logits, self.taught(batch), batch.targets)
        else:
            learnt = kd_loss(logits, self.taught(batch), self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, learnt),
        }

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """What is imitated: the teacher's probabilities (N, C), shuffled in mode "dkpp", the labels in mode "cwtm"."""
        target = log_probs(self.taught(batch)).exp()
        return {"target": F.one_hot(batch.targets, target.shape[1]).float() if self.mode == "cwtm" else target}
