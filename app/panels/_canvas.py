"""Two networks' classes on a plane, as bytes for canvases.

Little-endian: uint32 MAGIC, uint32 length of the JSON, the JSON in UTF-8 padded with spaces so that the planes start
at a multiple of 4, then planes of size * size bytes, row 0 at the bottom, 255 for probability 1: teacher_class,
teacher_share, student_class, student_share, student_share_of_teacher_class; without a teacher only the student's two.

The JSON:
    step, size, extent [x0, x1, y0, y1], teacher (bool), agreement (fraction or null), pinned [x, y] or null,
    classes (names), colours (one per class), theme {teacher, student, disagree, zero, ink},
    learner ("student", or what learns in its place),
    points [[x, y, class], ...] (class -1 is unlabelled), probe_points [[x, y], ...] (the index is the sample to pin).
Where there is more to say:
    rows [sample, ...] of probe_points that are not numbered by their place, beside [x, y] of a second pinned row,
    faces [[x, y, data URL], ...] pictures that stand at their places, note (a sentence below the planes)
"""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app import theme

MAGIC = 0x4B444631


def dressed(
    names: Sequence[str], colours: Sequence[str], look: theme.Theme, learner: str = "student"
) -> dict[str, Any]:
    """Return the members on classes, colours, and what the network that learns is called."""
    kinds = {"teacher": theme.TEACHER, "student": theme.role(learner), "disagree": theme.DISAGREE}
    kinds |= {"zero": theme.FIELD_ZERO, "ink": theme.INK}
    shades = {name: shades[look] for name, shades in kinds.items()}
    return {"classes": names, "colours": colours, "theme": shades, "learner": learner}


def opened(lasting: Mapping[str, Any]) -> str:
    """JSON that is open at its end, for members that change more often."""
    return json.dumps(lasting, ensure_ascii=False)[:-1] + ", "


def packed(moving: Mapping[str, Any], planes: Iterable[np.ndarray], lasting: str = "{") -> bytes:
    """Return the bytes of a drawing: its members, after those that `opened` gave, and the planes (R, R) uint8."""
    text = (lasting + json.dumps(moving, ensure_ascii=False)[1:]).encode()
    text += b" " * (-len(text) % 4)
    return b"".join((struct.pack("<II", MAGIC, len(text)), text, *(plane.tobytes() for plane in planes)))
