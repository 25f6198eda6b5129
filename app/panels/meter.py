"""The meter: what the teacher was asked, and what that took."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import QUANTITIES, beginning, faint, line, note
from app.text.phrases import money, sent_by_hand
from kdcore.probes.meter import Meters, meter
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = meter(record), view.theme
    layout = theme.layout(
        look,
        "meter",
        xaxis={"title": {"text": "step"}, "anchor": "y2"},
        yaxis={"title": {"text": "images"}, "domain": [0.44, 0.70], "rangemode": "tozero", "nticks": 5},
        yaxis2={"title": {"text": "MB"}, "domain": [0.0, 0.34], "rangemode": "tozero", "nticks": 4},
        hovermode="x unified",
        shapes=beginning(record, look),
        annotations=[note(_text(found), 0.0, 0.72, bgcolor=theme.PAPER[look])],
    )
    layout["legend"] |= {"y": 1.02}
    return {"data": _lines(found, look), "layout": layout}


def _lines(found: Meters, look: theme.Theme) -> list[dict[str, Any]]:
    """Local images at the bottom, synthetic ones on top of them, then what was sent for measuring; looks at a teacher
    on this machine cost nothing and are no part of the pile."""
    pile = {"stackgroup": "asked"}
    local = {"fillcolor": faint(theme.DISAGREE[look], 0.35)} | pile
    lines = [
        line("local", found.step, found.local, theme.DISAGREE[look], **local),
        line("synthetic", found.step, found.made, theme.TEACHER[look], **pile)
        | {"fillcolor": faint(theme.TEACHER[look], 0.25)},
        *([line("measuring", found.step, found.measuring, theme.MUTED[look], **pile)] if found.measuring[-1] else []),
        line("up", found.step, found.up_megabytes, QUANTITIES[0][look], yaxis="y2"),
        line("down", found.step, found.down_megabytes, QUANTITIES[1][look], yaxis="y2"),
    ]
    thin = {"dash": "dot", "width": 1.5}
    if found.looked[-1]:
        lines.append(line("measured at no cost", found.step, found.looked, theme.MUTED[look], line=thin))
    if found.budget:
        level = [found.budget for _ in found.step]
        lines.append(line("budget", found.step, level, theme.INK[look], line={"dash": "dash", "width": 1.5}))
    return lines


def _text(found: Meters) -> str:
    """Return the newest counts: queries and money, whose images were sent, and traffic."""
    of = f" of {found.budget:,}" if found.budget else ""
    again = f" · {found.retried:,} sent without a reply" if found.retried else ""
    behind = f" by step {found.step[-1]:,}" if found.lags else ""
    hand = f" · {sent_by_hand(found.by_hand)}" if found.by_hand else ""
    return (
        f"<b>{found.images[-1]:,}</b>{of} queries{behind}{hand} · <b>{money(found.money[-1])}</b> "
        f"({money(found.price)} per 1,000)<br>"
        f"{found.local[-1]:,} local images to learn from{_measuring(found)}{_used(found)}<br>"
        f"{found.up_megabytes[-1]:.3g} MB up, {found.down_megabytes[-1]:.3g} down · "
        f"{found.cached:,} from cache{again}"
    )


def _used(found: Meters) -> str:
    """How much of what was paid a resumed run has come to use again; "" where it uses all of it."""
    return f" · {found.used[1]:,} used by step {found.used[0]:,}" if found.used else ""


def _measuring(found: Meters) -> str:
    """Return what was sent for measuring alone; "" where nothing was."""
    if not found.measuring[-1]:
        return ""
    real = found.measured_real[-1]
    which = "real ones not counted" if real < 0 else f"{real:,} real"
    return f" · {found.measuring[-1]:,} for measuring, {which}"


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = meter(record, limit=len(record.meters))
    names = ("step", "images", "made", "local", "measuring", "looked", "up_megabytes", "down_megabytes")
    return {name: getattr(found, name).tolist() for name in names} | {"cost_dollars": found.money.tolist()}


PANEL = Panel(
    title="Queries and cost",
    kind="plotly",
    caption=caption(meter),
    order=6,
    wide=False,
    lacks=lacks.meter,
    draw=draw,
    table=table,
    suits=suits.walled,
)
