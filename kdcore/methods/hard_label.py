r"""Hard-label distillation: the student learns the class the teacher predicts, and never sees a true label.

The loss is the mean over the batch of $-\log q_m$, where $q$ is the student's softmax and $m$ the class of the
teacher's largest logit.

Source: the hard-target case of Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, NeurIPS workshop
2014, arXiv 1503.02531: the limit of its soft targets as the temperature goes to 0.

Departs from it: true labels are not used, so that only the teacher's predictions matter.

Zero when: the student assigns the teacher's class probability 1.
"""

from typing import ClassVar

from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy


def hard_label_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean cross-entropy in nats against the teacher's choice; both logits are (B, C)."""
    return cross_entropy(student_logits, teacher_logits.argmax(1))


class HardLabel(Method):
    """Distillation of the teacher's choices."""

    title: ClassVar[str] = "Hard labels"
    family: ClassVar[str] = "baseline"
    equation: ClassVar[str] = r"\mathcal{L} = -\log q_m, \quad m = \arg\max_c z_{t,c}"
    paper: ClassVar[str] = "Hinton, Vinyals and Dean, NeurIPS workshop 2014"
    needs: ClassVar[frozenset[Grant]] = frozenset({"labels"})

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Return the teacher's choice alone."""
        assert batch.teacher is not None
        return {"hard_label": Term(1.0, hard_label_loss(batch.student.logits, batch.teacher.logits))}
