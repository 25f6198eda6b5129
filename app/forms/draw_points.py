"""Points that a person draws: ready shapes, CSV files, and the canvas where a click makes a point."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from app import state, theme
from app.links.lab import Settings, choose
from app.live.routes import module
from kdcore.errors import BadInput, shortened

KEY = "canvas"
SETTING, NAMES = "data.points", "data.names"
MOST = 5000  # points
CLASSES = 8  # that the canvas offers; files may hold more
FILE_CLASSES = 26
LONGEST = 40  # characters of a class's name
FILE_BYTES = 1_000_000
LOOKS: tuple[theme.Theme, ...] = ("light", "dark")
Points = list[list[float]]  # [x, y, class]


# Shapes to begin with; the plane is the complex numbers here


def _points(z: np.ndarray, label: int) -> Points:
    return [[round(float(point.real), 3), round(float(point.imag), 3), label] for point in z]


def _arc(radius: float, label: int, start: float = 0.0, end: float = 2.0, count: int = 60) -> Points:
    """Part of a circle, between two angles in units of pi."""
    return _points(radius * np.exp(1j * np.pi * np.linspace(start, end, count, endpoint=False)), label)


def _cloud(centre: complex, label: int, spread: float = 0.18, count: int = 40) -> Points:
    """A sunflower of points."""
    k = np.arange(count) + 0.5
    return _points(centre + 2 * spread * np.sqrt(k / count) * np.exp(2.399963j * k), label)


def _waves() -> Points:
    x = np.linspace(-1, 1, 60)
    return [point for k in range(4) for point in _points(x + 1j * (0.35 * np.sin(np.pi * x) + 0.5 * k - 0.75), k % 2)]


def _islands() -> Points:
    return [point for k in range(6) for point in _cloud(np.exp(1j * np.pi * k / 3), k % 3)]


def _checkers() -> Points:
    places = [(i, j) for i in range(3) for j in range(3)]
    return [point for i, j in places for point in _cloud(0.7 * (i - 1 + 1j * (j - 1)), (i + j) % 2, 0.12, 20)]


def _face() -> Points:
    eyes = _cloud(-0.4 + 0.35j, 1, 0.1) + _cloud(0.4 + 0.35j, 1, 0.1)
    return _arc(1.0, 0) + eyes + _arc(0.55, 1, 1.15, 1.85)


def _target() -> Points:
    return _cloud(0, 0) + _arc(0.6, 1) + _arc(1.0, 0)


SHAPES: dict[str, Callable[[], Points]] = {
    "Target": _target,
    "Islands": _islands,
    "Waves": _waves,
    "Face": _face,
    "Checkers": _checkers,
    "Empty": list,
}


# Files


class Table(NamedTuple):
    """What a file holds."""

    points: Points
    names: list[str]  # of the classes in order; [] where they are called 0, 1, 2 ...


def parse_csv(data: bytes) -> Table:
    """Points from a table of x, y and class; a first line of names is passed over, classes may be words.

    Raises:
        BadInput: naming the line that cannot be read.
    """
    if len(data) > FILE_BYTES:
        raise BadInput(f"A file of points may hold 1 MB, but this one holds {len(data) / 1e6:.1f} MB; thin it out.")
    try:
        lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if "".join(line).strip()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"This is not a CSV file in UTF-8 ({error}); save the table as CSV and try again.") from error
    if lines and not _is_number(lines[0][0]):
        lines = lines[1:]
    rows = [_row(number, line) for number, line in enumerate(lines, start=1)]
    if not 0 < len(rows) <= MOST:
        raise BadInput(f"A file holds 1 to {MOST} points, but this one holds {len(rows)}.")
    names = sorted({name for _, _, name in rows}, key=_natural)
    if len(names) > FILE_CLASSES:
        raise BadInput(f"Points have at most {FILE_CLASSES} classes, but this file has {len(names)}; merge some.")
    if long := next((name for name in names if len(name) > LONGEST), None):
        raise BadInput(f"The name of a class has up to {LONGEST} characters, but one is {shortened(long)}; shorten it.")
    points: Points = [[x, y, names.index(name)] for x, y, name in rows]
    return Table(points, [] if names == [str(label) for label in range(len(names))] else names)


def _natural(name: str) -> tuple[list[object], str]:
    """Orders 2 before 10 and a2 before a10; what differs in case or leading zeros alone by its characters."""
    parts = re.split(r"(\d+)", name.casefold())  # text and digits in turn
    numbers = [(len(part), part) for part in (digits.lstrip("0") for digits in parts[1::2])]
    return [*chain.from_iterable(zip_longest(parts[::2], numbers, fillvalue=(0, "")))], name


def _row(number: int, line: list[str]) -> tuple[float, float, str]:
    if len(line) == 3 and _is_number(line[0]) and _is_number(line[1]) and line[2].strip():
        return float(line[0]), float(line[1]), line[2].strip()
    raise BadInput(f"Point {number} of the file should read x,y,class, but reads {','.join(line)[:40]!r}; correct it.")


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def to_csv(points: Points, names: Sequence[str] = ()) -> str:
    """The points as a file that `parse_csv` reads."""
    file = io.StringIO()
    called = {str(label): name for label, name in enumerate(names)}
    rows = ((repr(x), repr(y), called.get(str(int(label)), int(label))) for x, y, label in points)
    csv.writer(file, lineterminator="\n").writerows([("x", "y", "class"), *rows])
    return file.getvalue()


def checked(points: Any) -> Points:
    """What the canvas sent, when it is points.

    Raises:
        BadInput: it is not.
    """
    try:
        table = np.array(points, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise BadInput("The canvas sent something that is no list of points; reload the page.") from error
    if len(table) > MOST or not np.isfinite(table).all():
        raise BadInput(f"You may draw up to {MOST} points, but there are {len(table)}; remove some.")
    return [[round(float(x), 3), round(float(y), 3), int(label)] for x, y, label in table]


def advice(points: Points, names: Sequence[str] = (), least: int = 6) -> str | None:
    """What is missing before a run can start, or None."""
    labels = [int(label) for _, _, label in points]
    if len(set(labels)) < 2:
        return f"Draw at least two classes with at least {least} points each."
    counts = {label: labels.count(label) for label in range(max(labels) + 1)}
    short = next((label for label, count in counts.items() if count < least), None)
    if short is None:
        return None
    called = names[short] if short < len(names) else short
    return f"Points of class {called}: {counts[short]}; draw at least {least}."


# The editor


@cache
def _canvas() -> Callable[..., Any]:
    folder = Path(__file__).parent
    script, style = ((folder / f"draw_points.{end}").read_text() for end in ("js", "css"))
    shade = f"const {{ shade }} = await import({module('shade')})\n"
    mount: Callable[..., Any] = st.components.v2.component(
        "kdlab_points", html="<div class='points'></div>", css=style, js=shade + script
    )
    return mount


def _palettes() -> dict[theme.Theme, list[str]]:
    return {look: theme.classes(CLASSES, look) for look in LOOKS}


def replace(settings: Settings, points: Points, names: Sequence[str]) -> None:
    """Make these the points of the form, with these names of their classes."""
    state.take(choose(choose(settings, SETTING, points), NAMES, list(names)))


def editor(settings: Settings) -> None:
    """The canvas, shapes to begin with, and files in and out."""
    points: Points = settings[SETTING]  # type: ignore[assignment]
    names: list[str] = settings[NAMES]  # type: ignore[assignment]
    st.caption(
        "Choose a class and click to add points; drag to spray. Keys: arrows move, space adds, 1 to 8 choose the class."
    )
    _canvas()(
        key=KEY,
        data={"points": points, "names": names, "colors": _palettes(), "most": MOST},
        on_points_change=lambda: state.attempt(
            lambda: replace(settings, checked(state.component(KEY, "points")), names)
        ),
    )
    if names:
        st.caption(f"Classes by number: {', '.join(f'{label} is {name}' for label, name in enumerate(names))}.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for name, shape in SHAPES.items():
            st.button(name, on_click=state.attempt, args=(lambda shape=shape: replace(settings, shape(), ()),))
        st.download_button("Save as CSV", to_csv(points, names), "points.csv", "text/csv", icon=":material/download:")
    st.file_uploader(
        "Or take points from a CSV file (x, y, class)",
        type="csv",
        max_upload_size=1,
        key="points file",
        on_change=lambda: state.attempt(lambda: _upload(settings)),
    )


def _upload(settings: Settings) -> None:
    file = state.component("points file")
    if file is not None:
        replace(settings, *parse_csv(file.getvalue()))
