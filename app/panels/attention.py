"""Images, and over them where teacher and student look."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import lines, note, number
from app.panels._png import png_url, veil_url
from app.panels._static import per_static
from kdcore.probes.attention import Attention, Sight, attention
from kdcore.runs.record import Arrays, Record

SHOWN = 6  # images in a row
ROWS = ("image", "teacher", "student")  # from top to bottom
GLOW = {"teacher": theme.TEACHER["dark"], "student": theme.STUDENT["dark"]}  # bright enough over any image
SIDE = 0.96  # of a cell


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = attention(record), view.theme
    sights = found.sights[:SHOWN]
    colours = {"image": theme.INK[look], "teacher": theme.TEACHER[look], "student": theme.STUDENT[look]}
    hidden = {"showgrid": False, "zeroline": False, "fixedrange": True}
    below = [f"{lines(sight.asked)}<br>{number(sight.cosine, '.2f')}" for sight in sights]
    sides = [f'<span style="color:{colours[name]}">{name}</span>' for name in ROWS]
    layout = theme.layout(
        look,
        "attention",
        showlegend=False,
        xaxis=hidden | _named([place + 0.5 for place in range(len(sights))], below) | {"range": [0, len(sights)]},
        yaxis=hidden
        | _named([0.5, 1.5, 2.5], sides)
        | {"range": [3, 0], "scaleanchor": "x", "constrain": "domain", "constraintoward": "top"},
        images=[image for place, sight in enumerate(sights) for image in _column(record.static, sight, place)],
        annotations=[note(_text(found), 0.0, 1.0)],
    )
    layout["margin"] |= {"t": 28}
    return {"data": [_spots(sights)], "layout": layout}


def _named(places: list[float], names: list[str]) -> dict[str, Any]:
    return {"tickmode": "array", "tickvals": places, "ticktext": names, "tickangle": 0}


def _column(static: Arrays, sight: Sight, place: int) -> list[dict[str, Any]]:
    """Return the image three times, twice under a map."""
    base = _picture(static, sight.row)
    veils = {"teacher": _teachers_veil(static, sight), "student": veil_url(sight.student, GLOW["student"])}
    plain = [_image(base, place, row, "below") for row in range(len(ROWS))]
    return plain + [_image(url, place, ROWS.index(name), "above") for name, url in veils.items()]


def _image(source: str, place: int, row: int, layer: str) -> dict[str, Any]:
    """Return a picture in one cell; Plotly draws only one a place and layer."""
    where = {"xref": "x", "yref": "y", "x": place + 0.5, "y": row + 0.5, "xanchor": "center", "yanchor": "middle"}
    return where | {"source": source, "sizex": SIDE, "sizey": SIDE, "sizing": "contain", "layer": layer}


@per_static
def _pictures(_: Arrays) -> dict[str, str]:
    return {}


def _picture(static: Arrays, row: int) -> str:
    """Return the image of a probe row, made once per run, its pixels kept apart."""
    made, name = _pictures(static), f"image {row}"
    if name not in made:
        made[name] = png_url(static["probe_x"][row], enlarge=True)
    return made[name]


def _teachers_veil(static: Arrays, sight: Sight) -> str:
    """Return the teacher's map, made once per run and size, as it does not change."""
    made, name = _pictures(static), f"veil {sight.row} {sight.teacher.shape}"
    if name not in made:
        made[name] = veil_url(sight.teacher, GLOW["teacher"])
    return made[name]


def _spots(sights: tuple[Sight, ...]) -> dict[str, Any]:
    """Nothing to see: places under the pointer that say what is there."""
    places = [(place, row, sight) for place, sight in enumerate(sights) for row in range(len(ROWS))]
    said = [f"sample {sight.row}: where the {ROWS[row]} sees {sight.asked}" for _, row, sight in places]
    dots = {"type": "scatter", "uid": "spots", "mode": "markers", "marker": {"opacity": 0, "size": 40}}
    at = {"x": [place + 0.5 for place, _, _ in places], "y": [row + 0.5 for _, row, _ in places]}
    return dots | at | {"hovertext": said, "hoverinfo": "text"}


def _text(found: Attention) -> str:
    return f"cosines below; mean of {len(found.sights)} pairs <b>{number(found.cosine, '.2f')}</b>"


def table(record: Record, _: View) -> dict[str, list[Any]]:
    sights = attention(record).sights
    return {
        "sample": [sight.row for sight in sights],
        "asked_class": [sight.asked for sight in sights],
        "cosine": [sight.cosine for sight in sights],
    }


PANEL = Panel(
    title="Where they look",
    kind="plotly",
    caption=caption(attention),
    order=75,
    wide=False,
    lacks=lacks.first(lacks.rows("student_maps"), lacks.answers, lacks.recorded("teacher_maps", "student_maps")),
    draw=draw,
    table=table,
    suits=suits.records("teacher_maps", "student_maps"),
    pictured=True,
)
