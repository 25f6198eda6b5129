"""The wall of made images, beside images that the edge owns."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import note
from app.panels._png import png_url
from app.panels._static import per_static
from app.panels._wall import grid, picture, spots, texts
from kdcore.probes.made import Made, Picture, made
from kdcore.runs.record import Arrays, Record

COLUMNS, ROWS, LOCAL_COLUMNS = 6, 6, 3
GAP = 0.35  # between made and local images
TALL = 1.28  # of a cell, with its text
LONGEST = 7  # letters of a class below its picture; the pointer shows all


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = made(record), view.theme
    places = [(k % COLUMNS + 0.5, k // COLUMNS * TALL + 0.5) for k in range(len(found.pictures))]
    below = [(column, row + 0.62) for column, row in places]
    colour = theme.TEACHER[look]
    local = _local(record.static, len(found.local))
    heads = (("made", 0.0), ("local", COLUMNS + GAP))
    layout = grid(
        look,
        "made",
        COLUMNS + GAP + LOCAL_COLUMNS,
        ROWS * TALL,
        images=[_picture(one, at) for one, at in zip(found.pictures, places, strict=True)] + local,
        annotations=[note(_head(name, found), at, 0, xref="x", yref="y") for name, at in heads],
    )
    data = [
        texts("said", below, [_short(one) for one in found.pictures], [colour] * len(below)),
        spots("spots", places, [_long(one) for one in found.pictures]),
    ]
    return {"data": data, "layout": layout}


def _picture(one: Picture, at: tuple[float, float]) -> dict[str, Any]:
    return picture(png_url(one.pixels, enlarge=True), *at, 0.94)


@per_static
def _local(static: Arrays, count: int) -> list[dict[str, Any]]:
    """Return the edge's own images, made once per run."""
    shown = min(count, LOCAL_COLUMNS * ROWS)
    places = [(COLUMNS + GAP + k % LOCAL_COLUMNS + 0.5, k // LOCAL_COLUMNS * TALL + 0.5) for k in range(shown)]
    return [picture(png_url(static["local_x"][k], enlarge=True), *places[k], 0.94) for k in range(shown)]


def _head(name: str, found: Made) -> str:
    told = f", {found.named} of {found.classes} classes among these" if name == "made" and found.classes else ""
    return f"<b>{name}</b>{told}"


def _short(one: Picture) -> str:
    if one.said is None:
        return ""
    name = one.said if len(one.said) <= LONGEST else one.said[: LONGEST - 1] + "…"
    return name if one.confidence is None else f"{name} {one.confidence:.0%}"


def _long(one: Picture) -> str:
    if one.said is None:
        return "the teacher was not queried"
    sure = "" if one.confidence is None else f", confidence {one.confidence:.1%}"
    return f"the teacher predicts {one.said}{sure}"


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = made(record)
    return {
        "picture": list(range(len(found.pictures))),
        "teacher_class": [one.said for one in found.pictures],
        "teacher_confidence": [one.confidence for one in found.pictures],
    }


PANEL = Panel(
    title="Synthetic images",
    kind="plotly",
    caption=caption(made),
    order=2,
    wide=False,
    lacks=lacks.first(lacks.rows("made_x"), lacks.seen("made_x")),
    draw=draw,
    table=table,
    suits=suits.making,
    pictured=True,
)
