"""Pictures in a grid of unit cells: the first row on top, texts under each, and a place under the pointer."""

from collections.abc import Sequence
from typing import Any

from app import theme
from app.theme import Theme

Places = Sequence[tuple[float, float]]


def picture(source: str, column: float, row: float, size: float) -> dict[str, Any]:
    """Return a picture around a point of the grid."""
    where = {"xref": "x", "yref": "y", "x": column, "y": row, "xanchor": "center", "yanchor": "middle"}
    return where | {"source": source, "sizex": size, "sizey": size, "sizing": "contain", "layer": "below"}


def texts(uid: str, places: Places, said: Sequence[str], colours: Sequence[str]) -> dict[str, Any]:
    """Short texts at points of the grid."""
    words = {"mode": "text", "text": list(said), "textfont": {"size": 11, "color": list(colours)}}
    return _points(uid, places) | words | {"hoverinfo": "skip", "cliponaxis": False}


def spots(uid: str, places: Places, said: Sequence[str]) -> dict[str, Any]:
    """Nothing to see: places that say under the pointer what is there."""
    dots = {"mode": "markers", "marker": {"opacity": 0, "size": 40}}
    return _points(uid, places) | dots | {"hovertext": list(said), "hoverinfo": "text"}


def _points(uid: str, places: Places) -> dict[str, Any]:
    at = {"x": [column for column, _ in places], "y": [row for _, row in places]}
    return {"type": "scatter", "uid": uid, "showlegend": False} | at


def grid(look: Theme, revision: str, width: float, height: float, **more: Any) -> dict[str, Any]:
    """Return the layout of such a grid, its cells square and at the upper edge."""
    hidden = {"showgrid": False, "zeroline": False, "fixedrange": True, "showticklabels": False, "showline": False}
    across = hidden | {"range": [0, width], "constrain": "domain", "constraintoward": "left"}
    down = hidden | {"range": [height, 0], "scaleanchor": "x", "constrain": "domain", "constraintoward": "top"}
    xaxis, yaxis = across | more.pop("xaxis", {}), down | more.pop("yaxis", {})
    found = theme.layout(look, revision, showlegend=False, xaxis=xaxis, yaxis=yaxis, **more)
    found["margin"] = {"l": 4, "r": 4, "t": 28, "b": 4}
    return found
