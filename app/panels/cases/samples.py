"""The selected rows as pictures; choosing one pins it in every panel."""

from typing import Any

from app.panels import Panel, View, caption
from app.panels._png import png_url
from kdcore.comparison.case import Case
from kdcore.comparison.gallery import foremost
from kdcore.comparison.image_statistics import measured
from kdcore.comparison.question import specs
from kdcore.comparison.selection import chosen
from kdcore.runs.private_rows import walled


def draw(case: Case, view: View) -> dict[str, Any]:
    pinned = (view.sample,) if view.beside is None else (view.sample, view.beside)
    shown = foremost(case.rows, chosen(case, view.select), pinned).tolist()
    return {"items": [_item(case, row) for row in shown], "pinned": view.sample, "beside": view.beside}


def _item(case: Case, row: int) -> dict[str, Any]:
    rows, names = case.rows, (*case.classes, None)
    label, student = int(rows.labels[row]), names[int(rows.student_top[row])]
    teacher = None if rows.teacher is None else names[int(rows.teacher_top[row])]
    reference = names[label] if rows.teacher is None else teacher
    face = case.pictures[row] if case.pictures is not None else None
    image = png_url(face) if face is not None and face.ndim == 3 else None
    point = None if image else f"row {row}" if face is None else f"({', '.join(f'{v:.2g}' for v in face[:3])})"
    said = {"label": "?" if label < 0 else names[label], "teacher": teacher, "student": student}
    return {"sample": row, "image": image, "point": point, "differs": student != reference} | said


def table(case: Case, view: View) -> dict[str, list[Any]]:
    rows = case.rows
    here = foremost(rows, chosen(case, view.select), most=len(rows))
    found: dict[str, list[Any]] = {"row": here.tolist(), "index": rows.index[here].tolist()}
    found |= {"label": rows.labels[here].tolist(), "student": rows.student_top[here].tolist()}
    if rows.teacher is not None:
        found |= {"teacher": rows.teacher_top[here].tolist()}
    return found | {name: values[here].tolist() for name, values in case.columns.items() if name not in _private(case)}


def _private(case: Case) -> set[str]:
    """Columns that are the rows of an edge themselves, which no file holds: coordinates of points behind a wall."""
    pictures = case.pictures
    if pictures is None or pictures.ndim != 2 or not any(map(walled, specs(case.folder))):
        return set()
    return set(measured(pictures))


PANEL = Panel(
    title="Rows",
    kind="gallery",
    caption=caption(foremost),
    order=90,
    wide=False,
    lacks=lambda _: None,
    draw=draw,
    table=table,
    pictured=True,
)
