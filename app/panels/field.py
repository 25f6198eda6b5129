"""The decision field of both networks, as bytes for a canvas; see `_canvas`."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._canvas import dressed, opened, packed
from app.panels._figure import plain
from app.panels._static import per_static
from kdcore.probes.field import coordinates, field, ground
from kdcore.runs.record import Arrays, Record


def draw(record: Record, view: View) -> bytes:
    found = field(record, view.sample)
    size = len(found.planes["student_class"])
    names = record.started.classes if record.started else ()
    lasting, probe_points = _lasting(record.static, size, names, view.theme, record.learner)
    moving = {
        "step": found.step,
        "teacher": found.agreement is not None,
        "agreement": found.agreement,
        "pinned": probe_points[found.pinned],
    }
    return packed(moving, found.planes.values(), lasting)


@per_static
def _lasting(
    static: Arrays, size: int, names: tuple[str, ...], look: theme.Theme, learner: str
) -> tuple[str, list[list[float]]]:
    """Return the JSON that stays while a run goes on, open at its end, and the points a click can pin."""
    found = ground(static, size)
    probe_points = plain(found.probe_points)
    lasting = {
        "size": found.size,
        "extent": plain(found.extent),
        **dressed(names, theme.classes(len(names), look), look, learner),
        "points": [[*point, k] for point, k in zip(plain(found.points), plain(found.point_classes), strict=True)],
        "probe_points": probe_points,
    }
    return opened(lasting), probe_points


def table(record: Record, view: View) -> dict[str, list[Any]]:
    planes = field(record, view.sample).planes
    x, y = coordinates(record.static["extent"], len(planes["student_class"]))
    return {"x": x.ravel().tolist(), "y": y.ravel().tolist()} | {
        name: plane.ravel().tolist() for name, plane in planes.items()
    }


PANEL = Panel(
    title="Decision regions",
    kind="field",
    caption=caption(field),
    order=5,
    wide=True,
    lacks=lacks.first(lacks.rows("train_points"), lacks.plane, lacks.field),
    draw=draw,
    table=table,
    pictured=True,
)
