"""Which stages of student and teacher see the samples alike."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Cka:
    """Linear CKA between stages, from 0 to 1."""

    values: Floats  # (S, T), student's stages by teacher's
    rows: int  # probe rows it was taken over


def cka(record: Record) -> Cka:
    """Linear CKA is 1 where two stages find the same samples similar; a student that follows peaks on the diagonal.

    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019.
    """
    return Cka(np.asarray(record.frame["cka"], dtype=np.float64), len(record.static["probe_labels"]))
