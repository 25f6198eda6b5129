"""Whether a network is right as often as it claims to be."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, log_softmax, mean
from kdcore.probes._rows import labels, student_logits, teacher_logits
from kdcore.record import Record

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """One network; fractions. Bin b holds confidences in [b/15, (b+1)/15), the last one also 1; NaN where empty."""

    count: Ints  # (15,) int64, rows
    confidence: Floats  # (15,) mean over the bin's rows
    accuracy: Floats  # (15,)
    ece: float  # sum over bins of count/rows * |accuracy - confidence|
    nll_nats: float  # mean negative log-likelihood of the label

    @property
    def gap(self) -> Floats:
        """(15,) accuracy minus confidence: below zero the network is surer than it is right."""
        return self.accuracy - self.confidence


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
    """On the diagonal a network is right as often as it claims; below it, it is surer than it should be.

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
    confidence, right = np.exp(log_q.max(axis=1)), log_q.argmax(axis=1) == truth
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    claimed = np.bincount(place, weights=confidence, minlength=BINS)
    kept = np.bincount(place, weights=right, minlength=BINS)
    with np.errstate(invalid="ignore"):
        bin_confidence, bin_accuracy = claimed / count, kept / count
    return Calibration(
        count=count,
        confidence=bin_confidence,
        accuracy=bin_accuracy,
        ece=float(np.abs(kept - claimed).sum() / len(truth)) if len(truth) else float("nan"),
        nll_nats=mean(-log_q[np.arange(len(truth)), truth]),
    )
