"""Whether made images are copies of local ones: how near they are to these, and to images nobody has shown."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints
from kdcore.probes._rows import newest
from kdcore.record import Record

BINS = 24
SURE, LIKELY = 0.01, 0.05  # p below which nearness counts as more than chance, and as a hint
SAYS = (
    "No sign of copying.",
    "Nearer to local images; once in twenty that is chance.",
    "Nearer to local images than by chance: maybe copies.",
)


@dataclass(frozen=True)
class Copies:
    """Distances are root mean squares over values from 0 to 1."""

    centre: Floats  # (B,) of the bins
    local: Ints  # (B,) made images by the distance to the nearest local image
    held: Ints  # (B,) to the nearest of as many images held out
    local_median: float
    held_median: float
    nearest_local: int  # real images that are the nearest to some made one and local
    nearest: int  # all of them
    p: float  # of so many local ones or more, were both equally near (one-sided sign test)
    verdict: str


def copies(record: Record) -> Copies:
    """Where made images are copies, they lie nearer to local images (left) than to images nobody has shown.

    The sign test counts each real image that is the nearest to some made one once, so that many made images around one
    real image count as one. It is made anew at each frame: of a hundred frames one will fall below 0.01 by chance.
    """
    local, held = (np.asarray(record.frame[f"made_to_{which}"], dtype=np.float64) for which in ("local", "held"))
    edges = np.linspace(0, max(float(local.max()), float(held.max()), 1e-6), BINS + 1)
    ours, others = (int(count) for count in record.frame["nearest_real"])
    p = newest(record, "copies_p")
    return Copies(
        centre=(edges[1:] + edges[:-1]) / 2,
        local=np.histogram(local, edges)[0].astype(np.int64),
        held=np.histogram(held, edges)[0].astype(np.int64),
        local_median=float(np.median(local)),
        held_median=float(np.median(held)),
        nearest_local=ours,
        nearest=ours + others,
        p=p,
        verdict=SAYS[(p < LIKELY) + (p < SURE)],
    )
