"""How a student came to its answers: the frames that its run kept, on the run's probe rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdcore.comparison.cache import kept
from kdcore.comparison.case import Case
from kdcore.comparison.question import asked
from kdcore.comparison.selection import Bools
from kdcore.errors import BadInput
from kdcore.probes._numerics import Ints, thinned
from kdcore.runs.record import read_array, read_arrays

MOST = 60  # frames that are read; more are thinned evenly, the first and the last among them


@dataclass(frozen=True, eq=False)
class Trail:
    """A student's answers to P probe rows at T steps."""

    steps: Ints  # (T,) ascending
    index: Ints  # (P,) rows of the run's validation split
    labels: Ints  # (P,)
    teacher: np.ndarray | None  # (P, C) float32 logits of the teacher that it learned from
    student: np.ndarray  # (T, P, C) float32 logits
    kept: int  # frames of the run, of which at most MOST were read


def trail(case: Case) -> Trail | None:
    """Return the frames of the case's student; None where it is no run of this machine, or kept none."""
    try:
        folder = asked(case.folder).student.folder
    except BadInput:
        return None
    if folder is None or not (Path(folder) / "frames").is_dir():
        return None
    return _trail(Path(folder), (Path(folder) / "frames").stat().st_mtime_ns)


def probed(case: Case, seen: Trail, meant: Bools | None) -> Bools | None:
    """Which of the trail's rows (P,) a selection (N,) of the case means; all, None, where the case has other rows."""
    if meant is None or case.about.where != "val":
        return None
    place = np.full(max(int(seen.index.max(initial=0)), int(case.rows.index.max(initial=0))) + 1, -1)
    place[case.rows.index] = np.arange(len(case.rows))
    at = place[seen.index]
    return np.asarray((at >= 0) & meant[at])


@kept
def _trail(folder: Path, _: int) -> Trail | None:
    paths = sorted((folder / "frames").glob("[0-9]*.npz"))
    static = read_arrays(folder / "static.npz")
    read = [(int(paths[place].stem), read_array(paths[place], "student_logits")) for place in thinned(len(paths), MOST)]
    known = [(step, logits) for step, logits in read if logits is not None]
    if not known or "probe_labels" not in static:
        return None
    return Trail(
        steps=np.array([step for step, _ in known], dtype=np.int64),
        index=static["probe_index"].astype(np.int64),
        labels=static["probe_labels"].astype(np.int64),
        teacher=static.get("teacher_logits"),
        student=np.stack([logits for _, logits in known]),
        kept=len(paths),
    )
