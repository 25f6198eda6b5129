"""An image, and beside it what a generator makes of the teacher's and of the student's answer to it."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import note, number
from app.panels._png import png_url
from app.panels._static import per_static
from app.panels._wall import grid, picture, spots, texts
from kdcore.probes.inversions import Inversion, Inversions, inversions
from kdcore.runs.record import Arrays, Record

SHOWN = 6  # images in a row
ROWS = {"image": "image x", "teacher": "G(T(x))", "student": "G(S(x))", "difference": "difference"}
LEFT = 1.35  # cells that the names take
SIDE = 0.94  # of a cell
MARKS = {True: "✓", False: "✗", None: ""}


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = inversions(record), view.theme
    shown = found.shown[:SHOWN]
    colours = {"image": theme.INK[look], "teacher": theme.TEACHER[look], "student": theme.STUDENT[look]}
    colours["difference"] = theme.MUTED[look]
    places = [(LEFT + place + 0.5, row + 0.5) for place in range(len(shown)) for row in range(len(ROWS))]
    names = [
        note(text, 0, row + 0.5, xref="x", yref="y", yanchor="middle", font={"color": colours[name], "size": 13})
        for row, (name, text) in enumerate(ROWS.items())
    ]
    said = [(LEFT + place + 0.5, len(ROWS) + 0.2) for place in range(len(shown))]
    marks = [colour[look] for one in shown for colour in [theme.DISAGREE if one.consistent is False else theme.INK]]
    layout = grid(
        look,
        "inversions",
        LEFT + SHOWN,
        len(ROWS) + 0.4,
        images=[_picture(record.static, one, name, at) for (one, name), at in zip(_cells(shown), places, strict=True)],
        annotations=[*names, note(_text(found), 0, 1.0, xref="x")],
    )
    data = [
        texts("said", said, [f"{one.teacher_class} {_again(one)}" for one in shown], marks),
        spots("spots", places, [_long(one, name) for one, name in _cells(shown)]),
    ]
    return {"data": data, "layout": layout}


def _cells(shown: tuple[Inversion, ...]) -> list[tuple[Inversion, str]]:
    return [(one, name) for one in shown for name in ROWS]


def _picture(static: Arrays, one: Inversion, name: str, at: tuple[float, float]) -> dict[str, Any]:
    source = _image(static, one.row) if name == "image" else png_url(getattr(one, name), enlarge=True)
    return picture(source, *at, SIDE)


@per_static
def _image(static: Arrays, row: int) -> str:
    return png_url(static["probe_x"][row], enlarge=True)


def _again(one: Inversion) -> str:
    """Return what the teacher says of its own answer's image, and whether that is what it had said."""
    return f"→ {one.teacher_again} {MARKS[one.consistent]}" if one.teacher_again else ""


def _long(one: Inversion, name: str) -> str:
    return {
        "image": f"sample {one.row}: the teacher predicts {one.teacher_class}, the student {one.student_class}",
        "teacher": f"image generated from the teacher's output ({one.teacher_class}); the teacher classifies it as "
        f"{one.teacher_again or '?'}",
        "student": f"image generated from the student's output ({one.student_class}); the teacher classifies it as "
        f"{one.student_again or '?'}",
        "difference": "absolute difference of the two",
    }[name]


def _text(found: Inversions) -> str:
    counted = f"{found.cycle * found.cycled:,.0f} of {found.cycled:,.0f}, " if found.cycled == found.cycled else ""
    return (
        f"cycle accuracy <b>{number(found.cycle, '.0%')}</b> ({counted}chance {number(found.chance, '.0%')}) · "
        f"difference {number(found.difference, '.3f')}"
    )


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = inversions(record)
    names = ("row", "teacher_class", "student_class", "teacher_again", "student_again", "consistent")
    columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in found.shown] for name in names}
    columns["mean_difference"] = [float(one.difference.mean()) / 255 for one in found.shown]
    return columns | {"cycle_accuracy": [found.cycle] * len(found.shown)}


PANEL = Panel(
    title="Inversions",
    kind="plotly",
    caption=caption(inversions),
    order=3,
    wide=False,
    lacks=lacks.first(
        lacks.rows("inverse_teacher"), lacks.teacher, lacks.answers, lacks.seen("inverse_teacher", "inverse_student")
    ),
    draw=draw,
    table=table,
    suits=suits.inverting,
    pictured=True,
)
