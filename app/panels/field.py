"""The decision field of both networks, as bytes for a canvas.

Little-endian: uint32 MAGIC, uint32 length of the JSON, the JSON in UTF-8 padded with spaces so that the planes start
at a multiple of 4, then planes of size * size bytes, row 0 at the bottom, 255 for probability 1: teacher_class,
teacher_share, student_class, student_share, student_share_of_teacher_class; without a teacher only the student's two.

The JSON:
    step, size, extent [x0, x1, y0, y1], teacher (bool), agreement (fraction or null), pinned [x, y],
    classes (names), colours (one per class), theme {teacher, student, disagree, zero, ink},
    points [[x, y, class], ...] (class -1 is unlabelled), probe_points [[x, y], ...] (the index is the sample to pin).
"""

import json
import struct
from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._figure import plain
from app.panels._static import per_static
from kdcore.probes.field import coordinates, field, ground
from kdcore.record import Arrays, Record

MAGIC = 0x4B444631


def draw(record: Record, view: View) -> bytes:
    found = field(record, view.sample)
    size = len(found.planes["student_class"])
    names = record.started.classes if record.started else ()
    lasting, probe_points = _lasting(record.static, size, names, view.theme)
    moving = {
        "step": found.step,
        "teacher": found.agreement is not None,
        "agreement": found.agreement,
        "pinned": probe_points[found.pinned],
    }
    text = (lasting + json.dumps(moving)[1:]).encode()
    text += b" " * (-len(text) % 4)
    planes = (plane.tobytes() for plane in found.planes.values())
    return b"".join((struct.pack("<II", MAGIC, len(text)), text, *planes))


@per_static
def _lasting(static: Arrays, size: int, names: tuple[str, ...], look: theme.Theme) -> tuple[str, list[list[float]]]:
    """The JSON that stays while a run goes on, open at its end, and the points a click can pin."""
    found = ground(static, size)
    probe_points = plain(found.probe_points)
    lasting = {
        "size": found.size,
        "extent": plain(found.extent),
        "classes": names,
        "colours": theme.classes(len(names)),
        "theme": {
            "teacher": theme.TEACHER[look],
            "student": theme.STUDENT[look],
            "disagree": theme.DISAGREE[look],
            "zero": theme.FIELD_ZERO[look],
            "ink": theme.INK[look],
        },
        "points": [[*point, k] for point, k in zip(plain(found.points), plain(found.point_classes), strict=True)],
        "probe_points": probe_points,
    }
    return json.dumps(lasting, ensure_ascii=False)[:-1] + ", ", probe_points


def table(record: Record, view: View) -> dict[str, list[Any]]:
    planes = field(record, view.sample).planes
    x, y = coordinates(record.static["extent"], len(planes["student_class"]))
    return {"x": x.ravel().tolist(), "y": y.ravel().tolist()} | {
        name: plane.ravel().tolist() for name, plane in planes.items()
    }


PANEL = Panel(
    title="Decision field",
    kind="field",
    caption=caption(field),
    order=5,
    wide=True,
    lacks=lacks.first(lacks.plane, lacks.field),
    draw=draw,
    table=table,
)
