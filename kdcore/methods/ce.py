r"""Cross-entropy against the true labels: training without a teacher, the baseline from which every gain is measured.

The loss is the mean of $-\log q_y$ over the labelled rows of the batch, where $q$ is the student's softmax and $y$ the
label.

Source: the usual maximum-likelihood objective of classification; see Goodfellow, Bengio and Courville, Deep Learning,
MIT Press 2016, section 6.2.

Departs from it: none; unlabelled rows are left out of the mean.

Zero when: the student gives every true label probability 1; also when no row of the batch is labelled.
"""

from typing import ClassVar

from torch import nn

from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy


class CE(Method):
    """Supervised training."""

    title: ClassVar[str] = "Cross-entropy"
    family: ClassVar[str] = "baseline"
    equation: ClassVar[str] = r"\mathcal{L} = -\log q_y"
    paper: ClassVar[str] = "Goodfellow, Bengio and Courville, Deep Learning, MIT Press 2016"

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Return the label term alone."""
        return {"labels": Term(1.0, cross_entropy(batch.student.logits, batch.labels))}
