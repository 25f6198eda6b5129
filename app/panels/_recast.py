"""Panels speak of a student; while another network is trained first, its name and colour take the student's place."""

import re
from typing import Any

from app import theme
from app.panels._figure import faint

STUDENT = "student"
_WORD = re.compile(r"(?<![A-Za-z])([Ss])tudent(?![A-Za-z])")


def renamed(text: str, learner: str) -> str:
    """Return a text about the student as one about the network that learns."""
    return _WORD.sub(lambda found: learner.capitalize() if found[1] == "S" else learner, text)


def recast(drawing: Any, learner: str, look: theme.Theme) -> Any:
    """Return a drawing without bytes, every text and colour of the student's changed; the same one for a student."""
    return drawing if learner == STUDENT else _Cast(learner, look).of(drawing)


def columns(table: dict[str, list[Any]], learner: str) -> dict[str, list[Any]]:
    """Return the columns of a panel's numbers; one of the learner's takes the place of an empty one of that name."""
    if learner == STUDENT:
        return table
    own = {renamed(name, learner.replace(" ", "_")): values for name, values in table.items() if _WORD.search(name)}
    return {renamed(name, learner.replace(" ", "_")): own.get(name, values) for name, values in table.items()}


def _opaque(colour: str) -> str:
    """How a colour that lets something through begins, whatever its opacity."""
    return faint(colour, 1).rpartition(",")[0]


class _Cast:
    """What is changed into what."""

    def __init__(self, learner: str, look: theme.Theme) -> None:
        self.learner = learner
        before, now = theme.STUDENT[look], theme.role(learner)[look]
        self.hex = (before, now)
        self.clear = (_opaque(before), _opaque(now))

    def of(self, part: Any) -> Any:
        """Return a part of the drawing, changed."""
        if isinstance(part, str):
            return self._text(part)
        if isinstance(part, dict):
            return {name: self.of(value) for name, value in part.items()}
        return [self.of(value) for value in part] if isinstance(part, (list, tuple)) else part

    def _text(self, text: str) -> str:
        if text.startswith("data:"):
            return text
        return renamed(text.replace(*self.hex).replace(*self.clear), self.learner)
