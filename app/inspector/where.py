"""Where the two disagree: who is right, which answers change, which rows."""

from __future__ import annotations

from app.inspector._cards import cards
from kdcore.cases.case import Case


def show(case: Case) -> None:
    """The section."""
    cards(case, "partition", "flow", "samples")
