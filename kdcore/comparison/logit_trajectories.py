"""The ways that probe rows took through the logits while the student learned, in one plane for all steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Rows
from kdcore.comparison.checkpoint_history import Trail
from kdcore.comparison.embedding import axes
from kdcore.comparison.selection import Bools
from kdcore.probes._numerics import Floats, Ints, kl_nats, top_class

DRAWN = 12  # ways at most


@dataclass(frozen=True)
class Trails:
    """M of P probe rows, at T steps."""

    steps: Ints  # (T,)
    probe: Ints  # (M,) which of the probe rows
    rows: Ints  # (M,) the case's own numbers, -1 where it has other rows
    places: Floats  # (M, T, 2)
    ends: Floats  # (P, 2) where the student has all probe rows at the last step
    goals: Floats | None  # (M, 2) where the teacher has them
    hidden: int  # ways that were asked for and not drawn


def trails(seen: Trail, rows: Rows, same: bool, meant: Bools | None, pinned: tuple[int, ...]) -> Trails:
    """Each line is one sample's path through logit space, from the first step (small) to the last (large).

    The plane is that of the teacher's two principal axes, without one the student's at the last step. Pinned rows come
    first, then those with the largest KL(teacher || student) at the end.

    Args:
        seen: the student's frames.
        rows: the case's.
        same: whether the case's rows are of the split that the probe rows are of.
        meant: (P,) the selected ones; where None those that end with another answer than the teacher's.
        pinned: rows of the case.
    """
    last, own = seen.student[-1], _own(seen, rows) if same else np.full(len(seen.index), -1)
    fixed = np.flatnonzero(np.isin(own, pinned) & (own >= 0))
    wanted = np.setdiff1d(np.flatnonzero(_wanted(seen) if meant is None else meant), fixed)
    urgency = np.zeros(len(last)) if seen.teacher is None else np.nan_to_num(kl_nats(seen.teacher, last), nan=np.inf)
    order = np.concatenate([fixed, wanted[np.argsort(-urgency[wanted], kind="stable")]])
    shown = order[:DRAWN]
    mean, across = axes(_centred(last if seen.teacher is None else seen.teacher))
    goals = None if seen.teacher is None else (_centred(seen.teacher[shown]) - mean) @ across.T
    places = (_centred(seen.student[:, shown]) - mean) @ across.T
    ends = (_centred(last) - mean) @ across.T
    return Trails(seen.steps, shown, own[shown], places.transpose(1, 0, 2), ends, goals, len(order) - len(shown))


def _centred(logits: np.ndarray) -> Floats:
    """Logits less their mean over classes, which changes no probability."""
    found: Floats = logits.astype(np.float64) - logits.mean(-1, keepdims=True, dtype=np.float64)
    return found


def _wanted(seen: Trail) -> Bools:
    """Probe rows whose last answer is not the teacher's, or not the label where there is no teacher."""
    aim = seen.labels if seen.teacher is None else top_class(seen.teacher)
    return np.asarray(top_class(seen.student[-1]) != aim)


def _own(seen: Trail, rows: Rows) -> Ints:
    """(P,) the case's number of each probe row, -1 where it is not among its rows."""
    place = np.full(max(int(seen.index.max(initial=0)), int(rows.index.max(initial=0))) + 1, -1, dtype=np.int64)
    place[rows.index] = np.arange(len(rows))
    return place[seen.index]
