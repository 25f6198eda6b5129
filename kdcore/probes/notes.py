"""What the method tells of itself while it goes on."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, thinned
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Notes:
    """Scalars over the reported steps; NaN where one was not told."""

    step: Ints  # (S,) int64
    shares: dict[str, Floats]  # (S,) each; those that never leave [0, 1]
    others: dict[str, Floats]  # (S,) each


def notes(record: Record, limit: int = 2000) -> Notes:
    """Diagnostics from the method: how often it intervenes, which weights it uses, what it has learned so far.

    At most `limit` steps, evenly spread.
    """
    steps = [record.steps[k] for k in thinned(len(record.steps), limit)]
    names = dict.fromkeys(name for step in steps for name in step.notes)
    told = {name: np.array([step.notes.get(name, np.nan) for step in steps], dtype=np.float64) for name in names}
    return Notes(
        step=np.array([step.step for step in steps], dtype=np.int64),
        shares={name: values for name, values in told.items() if _is_share(values)},
        others={name: values for name, values in told.items() if not _is_share(values)},
    )


def _is_share(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool(np.all((known >= 0) & (known <= 1)))
