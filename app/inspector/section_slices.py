"""Slices of the rows on which the student is far from its teacher, and training on one of them."""

from __future__ import annotations

from app.inspector._cards import cards, task
from app.inspector.train_more import more
from kdcore.comparison.case import Case


def show(case: Case) -> None:
    """Draw the section."""
    cards(case, "slices", "samples", key="slices")
    if case.about.data is not None:
        task(case, "clusters", "Group the rows", "Groups rows that the teacher sees alike; groups become slices too.")
    more(case)
