"""How alike all stages of both networks are."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import bare, cells, columns, numbered
from app.panels._figure import note
from app.panels.cases import _needs as needs
from kdcore.cases.case import Case
from kdcore.cases.similarity import Likeness, similarity

NUMBERED = 6  # stages up to which the cells hold numbers
COLOURS = {"student": theme.STUDENT, "teacher": theme.TEACHER}


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = similarity(case), view.theme
    domains, data, axes = columns(len(found.maps), 0.09), [], {}
    for place, one in enumerate(found.maps, 1):
        data.append(_map(one, place, look))
        axes |= _axes(one, place, domains[place - 1], look)
    of = " of the selection that was asked about" if found.select else ""
    said = note(f"debiased linear CKA on {found.rows:,} rows{of}", 0.0, 1.0)
    layout = theme.layout(look, "similarity", showlegend=False, annotations=[said], **axes)
    layout["margin"] |= {"t": 28}
    return {"data": data, "layout": layout}


def _map(one: Likeness, place: int, look: theme.Theme) -> dict[str, Any]:
    scale = theme.rising(theme.GOOD if one.of != one.with_ else COLOURS[one.of], look)
    drawn = cells(f"{one.of} {one.with_}", one.cka, scale, (0.0, 1.0), place)
    drawn |= {"x": _names(one.cka.shape[1]), "y": _names(one.cka.shape[0]), "customdata": one.error.round(4).tolist()}
    drawn["hovertemplate"] = (
        f"{one.of}'s %{{y}}, {one.with_}'s %{{x}}: %{{z:.3f}} ± %{{customdata:.3f}} (standard error)<extra></extra>"
    )
    if max(one.cka.shape) <= NUMBERED:
        drawn |= {"texttemplate": "%{z:.2f}", "xgap": 2, "ygap": 2}
    return drawn


def _names(count: int) -> list[str]:
    return [*(f"{stage}" for stage in range(1, count)), "logits"]


def _axes(one: Likeness, place: int, domain: list[float], look: theme.Theme) -> dict[str, Any]:
    def axis(who: str, **more: Any) -> dict[str, Any]:
        title = {"text": f"{who}'s stage", "font": {"color": COLOURS[who][look]}, "standoff": 4}
        return bare(look) | {"type": "category", "title": title} | more

    return {
        numbered("xaxis", place): axis(one.with_, domain=domain, anchor=numbered("y", place)),
        numbered("yaxis", place): axis(one.of, anchor=numbered("x", place)),
    }


def table(case: Case, _: View) -> dict[str, list[Any]]:
    lines = [
        (one.of, names[0], one.with_, names[1], float(one.cka[a, b]), float(one.error[a, b]))
        for one in similarity(case).maps
        for a in range(one.cka.shape[0])
        for b in range(one.cka.shape[1])
        for names in [(_names(one.cka.shape[0])[a], _names(one.cka.shape[1])[b])]
    ]
    keys = ("network", "stage", "other_network", "other_stage", "cka", "standard_error")
    return dict(zip(keys, map(list, zip(*lines, strict=True)), strict=True))


PANEL = Panel(
    title="Likeness of all stages",
    kind="plotly",
    caption=caption(similarity),
    order=740,
    wide=True,
    lacks=needs.part("similarity", "The stages have not been compared yet; press the button above."),
    draw=draw,
    table=table,
)
