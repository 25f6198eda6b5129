"""Words that several panels of a case say."""

from typing import Any

from app.panels._figure import note

SMALL = 12  # size of the type of what is said beside a figure, so that it fits on narrow screens


def asked(rows: int, of: int, select: str) -> str:
    """Which rows a task was asked about, of all that the case has."""
    few = f" of {of:,}" if rows < of and not select else ""
    return f"{rows:,}{few} rows{' of the selection that was asked about' if select else ''}"


def aside(*lines: str, lifted: int = 0) -> dict[str, Any]:
    """Return what a figure says above itself, lifted by so many pixels; the margin is the figure's to leave."""
    return note("<br>".join(lines), 0.0, 1.0, font={"size": SMALL}, yshift=lifted)
