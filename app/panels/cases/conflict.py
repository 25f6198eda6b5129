"""Where labels and teacher pull the student against each other."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import bare, cells
from app.panels._figure import brief, number
from app.panels.cases import _needs as needs
from app.panels.cases._words import SMALL, aside
from kdcore.comparison.case import Case
from kdcore.comparison.gradient_conflict import Conflict, conflict

NUMBERED = 12  # lines up to which the cells hold numbers


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = conflict(case), view.theme
    names = ["all classes", *(case.classes[k] for k in found.classes)]
    scale = [[0.0, theme.DISAGREE[look]], [0.5, theme.FIELD_ZERO[look]], [1.0, theme.GOOD[look]]]
    shown = cells("conflict", found.cosine, scale, (-1.0, 1.0))
    picks = [[""] * len(found.stages), *([str(k)] * len(found.stages) for k in found.classes.tolist())]
    shown |= {"x": list(found.stages), "y": names, "customdata": picks, "meta": {"pick": "true={customdata}"}}
    shown |= {"text": _hover(found, names), "hoverinfo": "text", "xgap": 2, "ygap": 2}
    if len(names) <= NUMBERED:
        shown |= {"texttemplate": "%{z:.2f}"}
    labels = "labels" if found.labels_taken else "cross-entropy, which the method itself leaves out,"
    most = "each class" if len(found.classes) == len(case.classes) else f"the {len(found.classes)} worst classes"
    said = f"{found.batches} batches of {found.rows[0]} training rows, and one of {most}"
    axis = bare(look) | {"type": "category", "automargin": True}
    layout = theme.layout(
        look,
        "conflict",
        showlegend=False,
        xaxis=axis,
        yaxis=axis
        | {
            "range": [len(names) - 0.5, -0.5],
            "tickfont": {"size": SMALL},
            "tickvals": names,
            "ticktext": [brief(name) for name in names],
        },
        annotations=[aside(f"cosine of {labels} and {', '.join(found.terms)}", said)],
    )
    layout["margin"] |= {"t": 40}
    return {"data": [shown], "layout": layout}


def _hover(found: Conflict, names: list[str]) -> list[list[str]]:
    told = []
    for place, name in enumerate(names):
        line = []
        for stage, where in enumerate(found.stages):
            cosine, ratio = number(found.cosine[place, stage], ".3f"), number(found.ratio[place, stage], ".2f")
            text = f"{name}, {where}: cosine {cosine}"
            if not place:
                text += f" (from {number(found.low[stage], '.3f')} to {number(found.high[stage], '.3f')})"
            line.append(f"{text}<br>teacher's pull is {ratio} times the labels' · {found.rows[place]} rows")
        told.append(line)
    return told


def table(case: Case, _: View) -> dict[str, list[Any]]:
    found = conflict(case)
    names = ["all classes", *(case.classes[k] for k in found.classes)]
    return {
        "class": [name for name in names for _ in found.stages],
        "stage": list(found.stages) * len(names),
        "cosine": found.cosine.ravel().tolist(),
        "norm_ratio": found.ratio.ravel().tolist(),
        "rows": [int(rows) for rows in found.rows for _ in found.stages],
    }


PANEL = Panel(
    title="Gradient conflict by stage: labels and teacher",
    kind="plotly",
    caption=caption(conflict),
    order=750,
    wide=True,
    lacks=needs.part("conflict", "Gradients not computed yet; press the button above."),
    draw=draw,
    table=table,
)
