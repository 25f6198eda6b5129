"""ECE and NLL of the student at every temperature, and the one that was fitted."""

from math import log10
from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import line, note, plain
from app.panels.cases import _claims
from app.theme import Theme
from kdcore.comparison.cache import remembered
from kdcore.comparison.case import Case
from kdcore.comparison.temperature_scaling import Strip, scaled, strip


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    colour = theme.STUDENT[look]
    ece = line("ECE", found.temperatures, found.ece, colour)
    nll = line("NLL", found.temperatures, found.nll, colour, line={"dash": "dot"}) | {"yaxis": "y2"}
    ece |= {"hovertemplate": "T %{x:.2f}: ECE %{y:.2%}<extra></extra>"}
    nll |= {"hovertemplate": "T %{x:.2f}: NLL %{y:.4f}<extra></extra>"}
    marks, words = _marks(scaled(case).temperature, look)
    layout = theme.layout(
        look,
        "temperature",
        margin={"l": 48, "r": 48, "t": 8, "b": 40},
        xaxis={"type": "log", "title": {"text": "temperature T of the student's logits"},
               "tickvals": [0.5, 1, 2, 5, 10, 20]},
        yaxis={"title": {"text": "ECE"}, "rangemode": "tozero", "tickformat": ".0%"},
        yaxis2={"title": {"text": "NLL, nats"}, "overlaying": "y", "side": "right", "showgrid": False},
        shapes=marks,
        annotations=words,
    )  # fmt: skip
    return {"data": [ece, nll], "layout": layout}


def _marks(temperature: float | None, look: Theme) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines at T = 1 and at the fitted one, and the word at the latter."""
    at = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    plainly = at | {"x0": 1, "x1": 1, "line": {"color": theme.GRID[look], "width": 1.5}}
    if temperature is None:
        return [plainly], []
    drawn = at | {"x0": temperature, "x1": temperature, "line": {"color": theme.GOOD[look], "width": 2}}
    text = note(f"fitted {temperature:.3g}", log10(temperature), 1, xref="x", yanchor="top", xshift=4)
    return [plainly, drawn], [text | {"font": {"color": theme.GOOD[look]}}]


def _found(case: Case, view: View) -> Strip:
    return _strip(_claims.claims(case, view)["student"])


_strip = remembered(strip)


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    return {"temperature": plain(found.temperatures), "ece": plain(found.ece), "nll_nats": plain(found.nll)}


PANEL = Panel(
    title="Temperature scaling",
    kind="plotly",
    caption=caption(strip),
    order=250,
    wide=False,
    lacks=_claims.lacks,
    draw=draw,
    table=table,
)
