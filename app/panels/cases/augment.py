"""What is left of both networks as rows are changed."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption, knob
from app.panels._bands import band
from app.panels._figure import SHARES
from app.panels.cases import _needs as needs
from app.panels.cases._words import asked
from kdcore.comparison.augment import Augmentation, augment
from kdcore.comparison.case import Case

KNOB = "change"  # which way of changing rows is shown


def families(case: Case) -> tuple[Augmentation, ...]:
    """Those that were measured, for the section's control too."""
    return augment(case)


def _found(case: Case, view: View) -> Augmentation:
    told = families(case)
    wanted = knob(view, KNOB, told[0].name)
    return next((one for one in told if one.name == wanted), told[0])


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    curves = (
        ("student", found.student, theme.STUDENT, "", "y", ".1%"),
        ("teacher", found.teacher, theme.TEACHER, "", "y", ".1%"),
        ("same answer", found.agreement, theme.INK, "dot", "y", ".1%"),
        ("KL from the teacher", found.kl, theme.DISAGREE, "", "y2", ".4f"),
    )
    data: list[dict[str, Any]] = []
    for name, curve, colour, dash, axis, form in curves:
        if curve is None:
            continue
        style = {"line": {"dash": dash}} if dash else {}
        hover = {"hovertemplate": f"{found.name} %{{x}} · {name} %{{y:{form}}}<extra></extra>"}
        shown = band(name, found.strength, curve.value, curve.low, curve.high, colour[look], yaxis=axis, **style)
        data += [shown[0], shown[1] | hover | {"mode": "lines+markers"}]
    across = f"{found.name}, {found.unit} · {asked(found.rows, len(case.rows), found.select)}"
    beside = {"domain": [0.0, 0.34], "title": {"text": "nats"}, "rangemode": "tozero"}
    layout = theme.layout(
        look,
        f"augment {found.name}",
        xaxis={
            "title": {"text": across},
            "anchor": "y2",
        },
        yaxis={"domain": [0.42 if found.kl else 0.0, 1.0], "title": {"text": "share of rows"}} | SHARES,
        **({"yaxis2": beside} if found.kl else {}),
    )
    if found.kl is None:
        layout["xaxis"]["anchor"] = "y"
    return {"data": data, "layout": layout}


def table(case: Case, _: View) -> dict[str, list[Any]]:
    told = families(case)
    columns: dict[str, list[Any]] = {
        "change": [one.name for one in told for _ in one.strength],
        "strength": [float(value) for one in told for value in one.strength],
    }
    for name in ("student", "teacher", "agreement", "kl"):
        for part in ("value", "low", "high"):
            if getattr(told[0], name) is not None:
                values = [float(v) for one in told for v in getattr(getattr(one, name), part)]
                columns[name if part == "value" else f"{name}_{part}"] = values
    return columns


PANEL = Panel(
    title="Robustness to input changes",
    kind="plotly",
    caption=caption(augment),
    order=770,
    wide=True,
    lacks=needs.part("augment", "Not measured yet; press the button above."),
    draw=draw,
    table=table,
)
