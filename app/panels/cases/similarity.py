"""How alike all stages of both networks are."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption, knob
from app.panels._cells import bare, cells
from app.panels.cases import _needs as needs
from app.panels.cases._words import aside, asked
from kdcore.comparison.case import Case
from kdcore.comparison.similarity import Likeness, similarity

KNOB = "pair"  # whose stages are shown beside whose
NUMBERED = 8  # stages up to which the cells hold numbers
COLOURS = {"student": theme.STUDENT, "teacher": theme.TEACHER}


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = similarity(case), view.theme
    one = next((one for one in found.maps if _name(one) == knob(view, KNOB, _name(found.maps[0]))), found.maps[0])
    said = aside(f"debiased linear CKA on {asked(found.rows, len(case.rows), found.select)}")
    layout = theme.layout(look, f"similarity {_name(one)}", showlegend=False, annotations=[said], **_axes(one, look))
    layout["margin"] |= {"t": 28}
    return {"data": [_map(one, look)], "layout": layout}


def maps(case: Case) -> dict[str, str]:
    """Return what the panel can show, and how that is called; for the section's control."""
    found = similarity(case).maps
    return {_name(one): f"{one.of} and {one.with_}" if one.of != one.with_ else f"{one.of} alone" for one in found}


def _name(one: Likeness) -> str:
    return f"{one.of}-{one.with_}"


def _map(one: Likeness, look: theme.Theme) -> dict[str, Any]:
    scale = theme.rising(theme.GOOD if one.of != one.with_ else COLOURS[one.of], look)
    drawn = cells(_name(one), one.cka, scale, (0.0, 1.0))
    drawn |= {"x": _names(one.cka.shape[1]), "y": _names(one.cka.shape[0]), "customdata": one.error.round(4).tolist()}
    drawn["hovertemplate"] = (
        f"{one.of}'s %{{y}}, {one.with_}'s %{{x}}: %{{z:.3f}} ± %{{customdata:.3f}} (standard error)<extra></extra>"
    )
    if max(one.cka.shape) <= NUMBERED:
        drawn |= {"texttemplate": "%{z:.2f}", "xgap": 2, "ygap": 2}
    return drawn


def _names(count: int) -> list[str]:
    return [*(f"{stage}" for stage in range(1, count)), "logits"]


def _axes(one: Likeness, look: theme.Theme) -> dict[str, Any]:
    def axis(who: str) -> dict[str, Any]:
        title = {"text": f"{who}'s stage", "font": {"color": COLOURS[who][look]}}
        return bare(look) | {"type": "category", "title": title}

    return {"xaxis": axis(one.with_), "yaxis": axis(one.of)}


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
    title="Layer similarity, all pairs (CKA)",
    kind="plotly",
    caption=caption(similarity),
    order=740,
    wide=False,
    lacks=needs.part("similarity", "Layer similarity not computed yet; press the button above."),
    draw=draw,
    table=table,
)
