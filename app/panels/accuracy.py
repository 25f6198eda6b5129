"""Accuracy of student and teacher over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._figure import SHARES, beginning, faint, line, plain
from app.text.phrases import percent, points_apart
from kdcore.probes.accuracy import Accuracies, accuracy
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = accuracy(record), view.theme
    thin = {"width": 1}
    lines = []
    if found.labelled:
        lines.append(line("student, training", found.train_step, found.train, theme.MUTED[look], line=thin))
    shade: dict[str, Any] = {}
    if found.teacher is not None:
        level = [found.teacher for _ in found.step]
        lines.append(line("teacher", found.step, level, theme.TEACHER[look]))
        shade = {"fill": "tonexty", "fillcolor": faint(theme.MUTED[look], 0.18)}
    lines.append(line("student", found.step, found.student, theme.STUDENT[look], **shade))
    layout = theme.layout(
        look,
        "accuracy",
        xaxis={"title": {"text": f"step{_gap(found, look)}"}},
        yaxis={"title": {"text": "accuracy"}} | SHARES,
        hovermode="x unified",
        shapes=beginning(record, look),
    )
    layout["legend"] |= {"traceorder": "normal"}
    return {"data": lines + _stars(found, look), "layout": layout}


def _gap(found: Accuracies, look: theme.Theme) -> str:
    """How far the student is from its teacher at the newest pass, or when it starts to learn, as a second line."""
    if found.begins is not None:
        text = f"student starts at step {found.begins:,}"
    elif found.gap_points is None or found.teacher is None:
        return ""
    else:
        gap = points_apart(found.teacher, float(found.student[-1]))
        text = f"validation, step {found.step[-1]:,}: {abs(gap):.1f} points {'behind' if gap >= 0 else 'ahead'}"
    return f'<br><span style="color:{theme.STUDENT[look]};font-size:13px"><b>{text}</b></span>'


def _stars(found: Accuracies, look: theme.Theme) -> list[dict[str, Any]]:
    """Return the final accuracies on the test split."""
    if found.final is None:
        return []
    parts = [("teacher", found.final.teacher, theme.TEACHER), ("student", found.final.student, theme.STUDENT)]
    return [
        {
            "type": "scatter",
            "uid": f"{name}, test",
            "name": f"{name}, test {percent(share)}",
            "mode": "markers",
            "x": [found.final.step],
            "y": plain([share]),
            "marker": {"symbol": "star", "size": 13, "color": colour[look]},
            "cliponaxis": False,
        }
        for name, share, colour in parts
        if share is not None
    ]


def table(record: Record, _: View) -> dict[str, list[Any]]:
    scored = record.evaluations
    return {
        "step": [seen.step for seen in scored],
        "split": [seen.split for seen in scored],
        "student_accuracy": [seen.student.accuracy for seen in scored],
        "teacher_accuracy": [seen.teacher.accuracy if seen.teacher else None for seen in scored],
    }


PANEL = Panel(
    title="Accuracy",
    kind="plotly",
    caption=caption(accuracy),
    order=20,
    wide=False,
    lacks=lacks.scores,
    draw=draw,
    table=table,
)
