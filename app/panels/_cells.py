"""Heat-maps beside one another, one colour each, and the title above each."""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

import numpy as np

from app import theme
from app.panels._figure import brief, note, plain
from app.theme import Theme


def cells(uid: str, z: Any, scale: list[list[Any]], bounds: tuple[float, float], place: int = 1) -> dict[str, Any]:
    """Return a heat-map on the axes with number `place`, as fine as colours can tell; what is not a number stays
    empty.
    """
    axes = {"xaxis": f"x{place}", "yaxis": f"y{place}"} if place > 1 else {}
    lowest, highest = bounds
    finest = min(12, 2 - floor(log10(highest)))  # decimals
    colours = {"colorscale": scale, "zmin": lowest, "zmax": highest, "showscale": False}
    return {"type": "heatmap", "uid": uid, "z": plain(np.round(z, finest)), "hoverongaps": False, **colours, **axes}


def named_axis(names: Sequence[str], most: int) -> dict[str, Any]:
    """Return an axis of names, at most about `most` of them written, so that what is under the pointer has its name."""
    step = max(1, -(-len(names) // most))
    named = list(names[::step])
    ticks = {"type": "category", "tickmode": "array", "tickvals": named, "autotickangles": [0, -60, -90]}
    ticks["ticktext"] = [brief(name, 20) for name in named]
    return ticks | {"range": [-0.5, len(names) - 0.5]}


def numbered(name: str, place: int) -> str:
    """Return a key of the layout, such as xaxis2."""
    return name if place == 1 else f"{name}{place}"


def columns(count: int, gap: float) -> list[list[float]]:
    """Return the domains of `count` plots in a row."""
    width = (1 - gap * (count - 1)) / count
    return [[place * (width + gap), min(1.0, place * (width + gap) + width)] for place in range(count)]


def heading(text: str, domain: list[float], colour: dict[str, str], look: Theme, y: float = 1.0) -> dict[str, Any]:
    """Return the title above one of several plots."""
    return note(f"<b>{text}</b>", domain[0], y, font={"color": colour[look]})


def bare(look: Theme) -> dict[str, Any]:
    """Return an axis without lines, for cells."""
    return {"showgrid": False, "zeroline": False, "linecolor": theme.GRID[look]}
