"""What the student is asked to imitate, beside what teacher and student say."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import class_axis, faint, label_mark, note, plain
from kdcore.probes.target import Moves, Target, target
from kdcore.runs.record import Record

ROOM = 36  # letters that fit below the bars
COLOURS = {"teacher": theme.TEACHER, "target": theme.GOOD, "student": theme.STUDENT}


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = target(record, view.sample), view.theme
    lower = {} if found.moves is None else _lower_axes()
    below = [] if found.moves is None else [note(_text(found, found.moves), 0.0, 0.38)]
    floor = 0.0 if found.moves is None else 0.6
    layout = theme.layout(
        look,
        f"target {found.sample}",
        barmode="group",
        bargap=0.25,
        xaxis=_classes(found),
        yaxis={
            "title": {"text": "probability"},
            "domain": [floor, 0.97],
            "tickformat": ".0%",
            "range": [0, 1],
            "nticks": 4,
        },
        shapes=[label_mark(found.label, look) | {"yref": "y domain"}],
        annotations=[note(_which(found), 0.0, 0.98), *below],
        legend={"orientation": "h", "x": 0, "y": 1.08, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        **lower,
    )
    bars = [_bars(found, name, look) for name in found.answers]
    return {"data": bars + ([] if found.moves is None else _moves(found.moves, look)), "layout": layout}


def _classes(found: Target) -> dict[str, Any]:
    """Return the axis of the bars: the label alone is named where all names would reach into the plot below."""
    axis = class_axis(found.classes, found.label) | {"title": {"text": ""}, "tickangle": 0}
    if sum(len(name) + 2 for name in found.classes) <= ROOM:
        return axis
    return axis | {"tickvals": [found.label], "ticktext": [f"<b>{found.classes[found.label]}</b>"]}


def _lower_axes() -> dict[str, Any]:
    share = {"range": [-0.03, 1.03], "tickformat": ".0%"}
    across = {"title": {"text": "teacher's probability of the true class"}, "anchor": "y2"}
    return {"xaxis2": share | across, "yaxis2": share | {"title": {"text": "target's"}, "domain": [0.0, 0.37]}}


def _bars(found: Target, name: str, look: theme.Theme) -> dict[str, Any]:
    place = {"x": list(range(len(found.classes))), "y": plain(found.answers[name]), "customdata": list(found.classes)}
    hover = f"%{{customdata}}: %{{y:.2%}}<extra>{name}</extra>"
    colour = {"color": COLOURS[name][look]}
    return place | {"type": "bar", "uid": name, "name": name, "marker": colour, "hovertemplate": hover}


def _moves(found: Moves, look: theme.Theme) -> list[dict[str, Any]]:
    """Every sample before and after; on the diagonal nothing happened."""
    below = {"type": "scatter", "xaxis": "x2", "yaxis": "y2", "showlegend": False}
    dash = {"color": theme.MUTED[look], "width": 1.5, "dash": "dash"}
    diagonal = {"uid": "unchanged", "mode": "lines", "x": [0, 1], "y": [0, 1], "line": dash, "hoverinfo": "skip"}
    spots = {"color": faint(theme.GOOD[look], 0.6), "size": 7}
    rows = {"uid": "samples", "mode": "markers", "x": plain(found.before), "y": plain(found.after), "marker": spots}
    hover = "sample %{pointNumber}<br>teacher %{x:.1%}, target %{y:.1%}<extra></extra>"
    return [below | diagonal, below | rows | {"hovertemplate": hover}]


def _which(found: Target) -> str:
    of = f" · {len(found.classes)} of {len(found.classes) + found.hidden} classes" if found.hidden else ""
    return f"sample {found.sample}{'' if found.chosen else ', changed most'}{of}"


def _text(found: Target, moves: Moves) -> str:
    spoilt = f", newly wrong {moves.spoilt}" if moves.spoilt else ""
    wrong = f"teacher wrong on {moves.wrong} of {found.rows}, corrected <b>{moves.repaired}</b>{spoilt}"
    return f"{wrong} · changed {moves.changed}"


def table(record: Record, view: View) -> dict[str, list[Any]]:
    found = target(record, view.sample)
    columns: dict[str, list[Any]] = {"class": list(found.classes)}
    columns["is_label"] = [place == found.label for place in range(len(found.classes))]
    return columns | {f"{name}_probability": values.tolist() for name, values in found.answers.items()}


PANEL = Panel(
    title="Training target",
    kind="plotly",
    caption=caption(target),
    order=22,
    wide=False,
    lacks=lacks.first(lacks.answers, lacks.recorded("own_target")),
    draw=draw,
    table=table,
    suits=suits.records("own_target"),
)
