"""The meter: what the teacher was asked, and what that took."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import QUANTITIES, beginning, faint, line, note
from kdcore.probes.meter import Meters, meter
from kdcore.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = meter(record), view.theme
    layout = theme.layout(
        look,
        "meter",
        xaxis={"title": {"text": "step"}, "anchor": "y2"},
        yaxis={"title": {"text": "images"}, "domain": [0.44, 0.76], "rangemode": "tozero", "nticks": 5},
        yaxis2={"title": {"text": "MB"}, "domain": [0.0, 0.34], "rangemode": "tozero", "nticks": 4},
        hovermode="x unified",
        shapes=beginning(record, look),
        annotations=[note(_text(found), 0.0, 0.78, align="left", bgcolor=theme.PAPER[look])],
    )
    layout["legend"] |= {"y": 1.02}
    return {"data": _lines(found, look), "layout": layout}


def _lines(found: Meters, look: theme.Theme) -> list[dict[str, Any]]:
    """Local images at the bottom, made ones on top of them; what was only looked at is not part of the pile."""
    pile = {"stackgroup": "asked"}
    local = {"fillcolor": faint(theme.DISAGREE[look], 0.35)} | pile
    lines = [
        line("local", found.step, found.local, theme.DISAGREE[look], **local),
        line("made", found.step, found.made, theme.TEACHER[look], fillcolor=faint(theme.TEACHER[look], 0.25), **pile),
        line("up", found.step, found.up_megabytes, QUANTITIES[0][look], yaxis="y2"),
        line("down", found.step, found.down_megabytes, QUANTITIES[1][look], yaxis="y2"),
    ]
    thin = {"dash": "dot", "width": 1.5}
    if found.looked[-1]:
        lines.append(line("looks", found.step, found.looked, theme.MUTED[look], line=thin))
    if found.budget:
        level = [found.budget for _ in found.step]
        lines.append(line("budget", found.step, level, theme.INK[look], line={"dash": "dash", "width": 1.5}))
    return lines


def _text(found: Meters) -> str:
    """The newest counts; money at the wall's price."""
    of = f" of {_count(found.budget)}" if found.budget else ""
    again = f" · {_count(found.retried)} sent again" if found.retried else ""
    return (
        f"<b>{_count(found.images[-1])}</b>{of} images, {_count(found.local[-1])} local · "
        f"cost <b>{found.money[-1]:.2f}</b><br>"
        f"{found.up_megabytes[-1]:.3g} MB up, {found.down_megabytes[-1]:.3g} down · "
        f"{_count(found.cached)} from memory{again}"
    )


def _count(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = meter(record, limit=len(record.steps))
    names = ("step", "images", "made", "local", "looked", "up_megabytes", "down_megabytes", "money")
    return {name: getattr(found, name).tolist() for name in names}


PANEL = Panel(
    title="The meter",
    kind="plotly",
    caption=caption(meter),
    order=6,
    wide=False,
    lacks=lacks.meter,
    draw=draw,
    table=table,
    suits=suits.walled,
)
