"""What a run's budget leaves for queries that a person sends by hand. No torch is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kdcore.runs.ledger import BOOKS, BY_HAND, count, left
from kdcore.spec.query_limits import closing, learning
from kdcore.spec.spec import Spec

ENDED = "student.safetensors"  # in a run's folder, once its final test has been paid for


class RowCounts(NamedTuple):
    """Of a run's data: how many classes, local images and test images there are."""

    classes: int
    local: int
    tested: int


class Spare(NamedTuple):
    """What is left for queries by hand, and what a run that is not over keeps of its budget for itself."""

    budget: int
    left: int
    over: bool
    learning: int | None = 0  # images kept to learn from; None keeps all, as nobody can say before the end
    test: int = 0  # images kept for the final test

    @property
    def says(self) -> str:
        """One sentence with the numbers."""
        left = f"{self.left:,} of the run's budget of {self.budget:,} images {'is' if self.left == 1 else 'are'} left"
        if self.over:
            return f"{left}."
        if self.learning is None:
            return (
                f"The run is not over and may need its whole budget of {self.budget:,} images to learn from, so "
                "nothing can be sent by hand before it ends."
            )
        test = f" and {self.test:,} for its final test" if self.test else ""
        return f"{left} for queries by hand: until it ends, the run keeps {self.learning:,} to learn from{test}."


def spare(spec: Spec, folder: Path, rows: RowCounts) -> Spare | None:
    """Return what a run of `spec` in `folder` leaves for queries by hand; None where nothing limits them."""
    budget = spec.wall.budget if spec.wall and spec.remote else 0
    whole = left(folder, rows.classes, budget)
    if whole is None:
        return None
    if (folder / ENDED).exists():
        return Spare(budget, whole, over=True)
    wanted, test = learning(spec, rows.local), closing(spec, rows.tested, rows.local)
    if wanted is None:
        return Spare(budget, 0, over=False, learning=None)
    by_hand, paid, looked = (count(folder / name, rows.classes) for name in (BY_HAND, *BOOKS))
    free = budget - by_hand - max(paid, wanted) - looked - test
    return Spare(budget, max(0, min(whole, free)), over=False, learning=wanted, test=test)
