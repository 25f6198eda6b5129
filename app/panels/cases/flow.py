"""From the teacher's answer to the student's, where they differ."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import brief, faint, note
from app.panels.cases import _needs as needs
from kdcore.comparison.agreement import flow
from kdcore.comparison.case import Case
from kdcore.comparison.selection import chosen, value

OWN = ("teacher", "student")  # keys of what it shows itself


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = flow(case.rows, chosen(case, view.select, *OWN)), view.theme
    left, right = list(dict.fromkeys(found.teacher.tolist())), list(dict.fromkeys(found.student.tolist()))
    nodes = {"pad": 12, "thickness": 14, "label": [brief(case.classes[k], 24) for k in (*left, *right)],
             "color": [theme.TEACHER[look]] * len(left) + [theme.STUDENT[look]] * len(right)}  # fmt: skip
    ids = [f"{a};student={b}" for a, b in zip(found.teacher.tolist(), found.student.tolist(), strict=True)]
    meant = f"{value(view.select, 'teacher')};student={value(view.select, 'student')}"
    links = {
        "source": [left.index(a) for a in found.teacher.tolist()],
        "target": [len(left) + right.index(b) for b in found.student.tolist()],
        "value": found.count.tolist(),
        "customdata": ids,
        "color": [faint(theme.DISAGREE[look], 0.7 if meant == pair else 0.3) for pair in ids],
        "hovertemplate": "teacher %{source.label}, student %{target.label}: %{value} rows<extra></extra>",
    }
    sankey = {"type": "sankey", "uid": "flow", "node": nodes, "link": links, "meta": {"pick": "teacher={customdata}"}}
    layout = theme.layout(look, "flow", margin={"l": 8, "r": 8, "t": 8, "b": 8})
    if not ids:  # a flow without a link cannot be laid out
        axis = {"visible": False}
        nothing = note("Both predict the same class for every selected sample.", 0.5, 0.5, xanchor="center")
        return {"data": [], "layout": layout | {"xaxis": axis, "yaxis": axis, "annotations": [nothing]}}
    return {"data": [sankey | {"textfont": {"color": theme.INK[look]}}], "layout": layout}


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = flow(case.rows, chosen(case, view.select, *OWN), most=10_000)
    named = {"teacher": found.teacher, "student": found.student}
    return {who: [case.classes[k] for k in classes] for who, classes in named.items()} | {"rows": found.count.tolist()}


def _differs(case: Case) -> str | None:
    return (
        None
        if (case.rows.student_top != case.rows.teacher_top).any()
        else "Both predict the same class for every sample."
    )


PANEL = Panel(
    title="From the teacher's prediction to the student's",
    kind="plotly",
    caption=caption(flow),
    order=20,
    wide=False,
    lacks=needs.first(needs.teacher, _differs),
    draw=draw,
    table=table,
)
