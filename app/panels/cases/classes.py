"""Logits and softened probabilities of the pinned row."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption, softening
from app.panels._figure import brief, number, softened
from app.panels._scores import bars, layout
from kdcore.comparison.case import Case
from kdcore.comparison.sample import ComparedSample, sample


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = sample(case.rows, view.sample, softening(view)), view.theme
    names = [case.classes[k] for k in found.shown]
    drawn = []
    for who, side, colour in (("teacher", found.teacher, theme.TEACHER), ("student", found.student, theme.STUDENT)):
        if side is not None:
            said = [f"{name}, rank {rank}" for name, rank in zip(names, side.rank.tolist(), strict=True)]
            drawn += bars(said, side.logits, side.probability, who, colour[look])
    place = found.shown.tolist().index(found.label) if found.label >= 0 else None
    text = "<br>".join(lines(found, case.classes))
    shown = layout(look, "classes", names, place, found.hidden, text, lines=3)
    return {"data": drawn, "layout": softened(shown, found.temperature)}


def lines(found: ComparedSample, classes: tuple[str, ...]) -> list[str]:
    """Return what the bars do not tell."""
    label = "no label" if found.label < 0 else f"label <b>{brief(classes[found.label], 20)}</b>"
    said = [f"row {found.row} · {label} · τ = {found.temperature:g}"]
    if found.gap:
        whole, target, rest = (number(part, ".3g") for part in (found.gap.whole, found.gap.target, found.gap.rest))
        said.append(f"KL <b>{whole}</b> nats = target {target} + rest {rest}")
    rank = "" if found.label < 0 else f"label's rank {_both(found, 'label_rank', 'd')} · "
    said.append(f"{rank}margin {_both(found, 'margin', '.2f')}")
    return [*said[:-1], f"{said[-1]} · entropy {_both(found, 'entropy', '.2f')} nats"]


def _both(found: ComparedSample, field: str, form: str) -> str:
    sides = (("T", found.teacher), ("S", found.student))
    return " ".join(f"{who} {number(getattr(side, field), form)}" for who, side in sides if side is not None)


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = sample(case.rows, view.sample, softening(view))
    columns: dict[str, list[Any]] = {"class": [case.classes[k] for k in found.shown]}
    columns["is_label"] = [int(k) == found.label for k in found.shown]
    for name, side in (("teacher", found.teacher), ("student", found.student)):
        if side is not None:
            columns |= {f"{name}_logit": side.logits.tolist(), f"{name}_probability": side.probability.tolist()}
            columns[f"{name}_rank"] = side.rank.tolist()
    return columns


PANEL = Panel(
    title="Both outputs for the sample",
    kind="plotly",
    caption=caption(sample),
    order=30,
    wide=False,
    lacks=lambda _: None,
    draw=draw,
    table=table,
    softened=True,
)
