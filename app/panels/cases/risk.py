"""Risk against coverage of the three models."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import line, number, plain
from app.panels.cases import _claims
from kdcore.comparison.case import Case
from kdcore.comparison.risk_coverage import Risk, risk_coverage


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    traces = []
    for name, one in found.items():
        colour = _claims.COLOURS[name][look]
        title = f"{_claims.NAMES[name]} · AURC {number(one.aurc, '.2%')}, excess {number(one.excess, '.2%')}"
        hover = f"the surest %{{x:.0%}} of {one.rows:,} rows: %{{y:.2%}} wrong<extra>{_claims.NAMES[name]}</extra>"
        style: dict[str, Any] = {"name": title, "legendgroup": name, "hovertemplate": hover}
        style |= {"line": {"color": colour, "width": 2, "dash": "dash" if name == "scaled" else "solid"}}
        traces.append(line(name, one.coverage, one.risk, colour) | style)
        dots = {"line": {"color": colour, "width": 1, "dash": "dot"}}
        if name != "scaled":
            best = dots | {"hoverinfo": "skip", "name": "at best", "showlegend": name == "student"}
            traces.append(line(f"{name} at best", one.coverage, one.least, colour) | best)
    layout = theme.layout(
        look,
        "risk",
        xaxis={"title": {"text": "coverage: share of rows answered"},
               "range": [0, 1], "tickformat": ".0%"},
        yaxis={"title": {"text": "risk: wrong among them"}, "rangemode": "tozero", "tickformat": ".1%"},
    )  # fmt: skip
    return {"data": traces, "layout": layout}


def _found(case: Case, view: View) -> dict[str, Risk]:
    return {name: risk_coverage(one) for name, one in _claims.claims(case, view).items()}


def table(case: Case, view: View) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"model": [], "coverage": [], "risk": [], "least": []}
    for name, one in _found(case, view).items():
        told = [[name] * len(one.risk), plain(one.coverage), plain(one.risk), plain(one.least)]
        for held, more in zip(columns.values(), told, strict=True):
            held += more
    return columns


PANEL = Panel(
    title="Risk–coverage curve",
    kind="plotly",
    caption=caption(risk_coverage),
    order=230,
    wide=False,
    lacks=_claims.lacks,
    draw=draw,
    table=table,
)
