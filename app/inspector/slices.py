"""Slices of the rows on which the student is far from its teacher."""

from __future__ import annotations

from app.inspector._cards import cards
from app.inspector.further import more
from kdcore.cases.case import Case


def show(case: Case) -> None:
    """The section."""
    cards(case, "slices", "samples", key="slices")
    more(case)
