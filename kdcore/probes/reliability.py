"""Whether a network is right as often as it claims to be."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._bins import BINS, Bins, binned, equal_width
from kdcore.probes._numerics import Floats, log_softmax, mean
from kdcore.probes._rows import labels, student_logits, teacher_logits
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Calibration(Bins):
    """One network, in bins that are equally wide."""

    nll_nats: float  # mean negative log-likelihood of the label


@dataclass(frozen=True)
class Reliability:
    """Both networks on the probe rows."""

    centre: Floats  # (15,) middle of each bin
    student: Calibration
    teacher: Calibration | None

    @property
    def fullest(self) -> int:
        """Rows in the fullest bin of either network, at least 1."""
        networks = (self.student, self.teacher)
        return max(1, *(int(network.count.max()) for network in networks if network is not None))


def reliability(record: Record) -> Reliability:
    """On the diagonal, confidence equals accuracy; below it, a network is overconfident.

    Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
    """
    truth, teacher = labels(record), teacher_logits(record)
    return Reliability(
        centre=(np.arange(BINS) + 0.5) / BINS,
        student=calibration(student_logits(record), truth),
        teacher=None if teacher is None else calibration(teacher, truth),
    )


def calibration(logits: np.ndarray, truth: np.ndarray) -> Calibration:
    """Reliability of logits (N, C) about labels (N,); rows without a finite answer count for nothing."""
    log_q = log_softmax(logits)
    known = ~np.isnan(log_q).any(axis=1)
    log_q, truth = log_q[known], truth[known]
    found = binned(np.exp(log_q.max(axis=1)), log_q.argmax(axis=1) == truth, equal_width())
    return Calibration(**vars(found), nll_nats=mean(-log_q[np.arange(len(truth)), truth]))
