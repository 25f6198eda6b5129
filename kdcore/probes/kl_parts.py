"""How far the student is from its teacher, in two parts."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, calm, wide
from kdcore.runs.record import Record


@dataclass(frozen=True)
class KlParts:
    """KL(teacher || student) on the validation split at temperature 1, in nats, at E passes."""

    step: Ints  # (E,) int64
    whole: Floats  # (E,)
    target: Floats  # (E,) about the question whether the class is the true one
    rest: Floats  # (E,) about the other classes, weighted by how much of the answer the teacher gives them
    logarithmic: bool  # the whole's range is wide
    highest: float | None  # where the axis ends if the first values would dominate it


def kl_parts(record: Record) -> KlParts:
    """Lower is closer: one part of KL is about the true class, the other about the remaining ones (dark knowledge).

    Source: Zhao et al., Decoupled Knowledge Distillation, CVPR 2022, equation 5.
    """
    passes = [seen for seen in record.evaluations if seen.split == "val" and seen.kl is not None]
    whole = np.array([seen.kl for seen in passes], dtype=np.float64)
    target = np.array([np.nan if seen.kl_target is None else seen.kl_target for seen in passes], dtype=np.float64)
    return KlParts(
        step=np.array([seen.step for seen in passes], dtype=np.int64),
        whole=whole,
        target=target,
        rest=np.maximum(whole - target, 0.0),
        logarithmic=wide(whole),
        highest=None if wide(whole) else calm(whole),
    )
