"""The same of the row that is pinned beside the first."""

from typing import Any

from app.panels import View
from app.panels.cases import classes
from kdcore.comparison.case import Case


def _second(view: View) -> View:
    return view if view.beside is None else view.model_copy(update={"sample": view.beside})


def draw(case: Case, view: View) -> dict[str, Any]:
    return classes.draw(case, _second(view))


def table(case: Case, view: View) -> dict[str, list[Any]]:
    return classes.table(case, _second(view))


PANEL = classes.PANEL._replace(title="Both outputs for the second sample", order=31, draw=draw, table=table)
