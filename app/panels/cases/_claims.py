"""What the panels of calibration share: the three models in their order, names and colours, and how bins are picked."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from app import theme
from app.panels import View, knob
from app.panels.cases import _needs as needs
from app.theme import Theme
from kdcore.comparison.cache import kept, remembered
from kdcore.comparison.calibration import Forecast, by_mass, by_width
from kdcore.comparison.case import Case
from kdcore.comparison.scores import ComparisonScore, scores
from kdcore.comparison.selection import chosen, value
from kdcore.comparison.temperature_scaling import TemperatureFit, scaled
from kdcore.probes._bins import Bins
from kdcore.probes._numerics import Floats

NAMES = {"teacher": "teacher", "student": "student", "scaled": "student, scaled"}
COLOURS = {"teacher": theme.TEACHER, "student": theme.STUDENT, "scaled": theme.GOOD}
CONFIDENCE = ("student confidence", "teacher confidence")  # keys of selections
lacks = needs.labels


def claims(case: Case, view: View, *own: str) -> dict[str, Forecast]:
    """Return the claims of the models there are about the selected rows, the same objects for every panel; `own` as
    `chosen` has it.
    """
    meant = chosen(case, view.select, *own)
    return _claims(scaled(case), None if meant is None else meant.tobytes())


@kept
def _claims(found: TemperatureFit, meant: bytes | None) -> dict[str, Forecast]:
    return found.among(None if meant is None else np.frombuffer(meant, dtype=np.bool_))


def massed(view: View) -> bool:
    """Whether the section is set to bins of equal mass."""
    return knob(view, "bins", "width") == "mass"


def diagrams(case: Case, view: View) -> dict[str, Bins]:
    """Their reliability, in the kind of bins that the section is set to."""
    bins = by_mass if massed(view) else by_width
    return {name: bins(one) for name, one in claims(case, view, *CONFIDENCE).items()}


def scored(case: Case, view: View) -> dict[str, dict[str, ComparisonScore]]:
    """Their scores, computed once for a selection; numpy works on several models at once."""
    told = claims(case, view)
    with ThreadPoolExecutor(len(told)) as threads:
        return dict(zip(told, threads.map(_scores, told.values()), strict=True))


_scores = remembered(scores)


def ranges(edges: Floats) -> list[str]:
    """Return the bins as selections say them; the last one has no end, so that it holds 1."""
    low = [repr(float(edge)) for edge in edges[:-1]]
    return [f"{a}..{b}" for a, b in zip(low, [*low[1:], ""], strict=True)]


def bands(view: View, look: Theme) -> list[dict[str, Any]]:
    """Return a stripe behind the confidences that are selected."""
    marks = []
    for key, colour in zip(CONFIDENCE, (theme.STUDENT, theme.TEACHER), strict=True):
        low, dots, high = (value(view.select, key) or "").partition("..")
        if dots:
            edges = {"x0": float(low or 0), "x1": float(high or 1), "y0": 0, "y1": 1, "yref": "paper"}
            marks.append({"type": "rect", "layer": "below", "line": {"width": 0}, "opacity": 0.15, **edges,
                          "fillcolor": colour[look]})  # fmt: skip
    return marks
