"""The frontier on the page: what runs against one teacher learned, over what they asked, and what it cost."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from app import run_store, state, theme
from app.components.chart import chart
from app.links import black_box
from app.panels._figure import SHARES, faint
from app.reports.html_report import reference_of
from app.reports.verdict import on_images
from app.text.phrases import money, named, percent
from app.text.run_names import changes, distinct
from app.theme import Theme
from kdcore.blackbox.frontier import Measure, Point, Reference, best, on_real, point_of, task_of
from kdcore.jobs.rows import Run
from kdcore.spec.catalogue import entry
from kdcore.spec.presets import preset
from kdcore.spec.spec import Spec

HEIGHT = 420
FONT = '"Source Sans", "Source Sans 3", sans-serif'  # the page's own; an inherited one is measured wrongly here
FEW = 8  # runs whose table needs no unfolding
GROUPS = {"mekd": "MEKD", "maker": "other synthetic images", "local": "local images"}
MARKS = {"mekd": "circle", "maker": "diamond", "local": "square"}
MEASURES: dict[Measure, str] = {"agreement": "Agreement with the teacher", "accuracy": "Accuracy"}


def frontier(run: Run) -> None:
    """All finished runs against the teacher of this one, and what a student on the real images reaches."""
    points, beside = gathered(run)
    if not points:
        st.info("No run with this teacher has finished yet; each finished run adds a point.")
        return
    names = named_apart(points)
    measure, look = _measure(points), state.view().theme
    if drawn(points, measure):
        chart(figure(points, beside, measure, run.id, look), look, height=HEIGHT, key="frontier chart")
        st.caption(_caption(run.spec, beside, measure))
    else:
        st.info("No run with this teacher has sent a query, so there is nothing to plot.")
    with st.expander("These runs by name", expanded=len(points) <= FEW, key="frontier table"):
        st.dataframe(
            [line(point, names[point.run]) for point in sorted(points, key=lambda one: one.images)],
            hide_index=True,
            column_config={"open": st.column_config.LinkColumn("open", display_text="open")},
        )


def _measure(points: list[Point]) -> Measure:
    """What the runs are measured by: as chosen, or by accuracy where no agreement is known."""
    if not drawn(points, "agreement"):
        st.info("Agreement was not measured in any run with this teacher, so accuracy is shown.")
        return "accuracy"
    return st.segmented_control(
        "Measured by", list(MEASURES), default="agreement", required=True, format_func=MEASURES.__getitem__,
        key="frontier by", label_visibility="collapsed",
    ) or "agreement"  # fmt: skip


def drawn(points: list[Point], measure: Measure) -> list[Point]:
    """The points that have a place: measured so, and right of nothing on the log axis."""
    return [point for point in points if point.value(measure) is not None and point.images]


def gathered(run: Run) -> tuple[list[Point], Reference | None]:
    """The points of a run's task, and its honest reference, out of everything in the store."""
    store, task = run_store.store(), task_of(run.spec)
    done = [one for one in store.runs(states={"done"}) if one.spec.data.name == run.spec.data.name]
    alike = [one for one in done if task is not None and task_of(one.spec) == task]
    points = [point_of(one.id, one.spec, store.ending(one.id)) for one in alike]
    return [point for point in points if point], reference_of(store, run)


def _caption(spec: Spec, beside: Reference | None, measure: Measure) -> str:
    said = "Each point is a finished run on this machine, measured on the test split; the line connects runs that no "
    said += "other run beats with as few images."
    if beside is None:
        which = "other run" if on_real(spec) else "run"
        return (
            f"{said} No {which} with this teacher was trained on the real local images, so there is no reference line."
        )
    if beside.value(measure) is None:
        return said
    which = "another" if on_real(spec) else "a"
    return f"{said} The dashed line is {which} student trained on the real local images ({on_images(spec, beside)})."


def kind(spec: Spec) -> str:
    """Whose images a run's teacher was asked about."""
    if spec.source.name == "mekd":
        return "mekd"
    return "local" if entry("source", spec.source.name)["local"] else "maker"


def name(spec: Spec) -> str:
    """A run as a point is named: by its preset, or else by its source and method."""
    order = black_box.order_for(spec.model_copy(update={"changes": ()}))
    if order is not None:
        few = order.quick and preset(order.preset).kind == "mekd" and order.preset != "quick"
        return preset(order.preset).title + (", few steps" if few else "")
    source = [named("source", spec.source)] if spec.source.name not in ("data", spec.method.name) else []
    return " · ".join([named("method", spec.method), *source])


def named_apart(points: list[Point]) -> dict[str, str]:
    """The points' names by run, with what was changed during the run and what tells apart those of one name."""
    specs = [point.spec for point in points]
    told = distinct([" · ".join([name(spec), *(f"changed {one}" for one in changes(spec))]) for spec in specs], specs)
    return dict(zip((point.run for point in points), told, strict=True))


def line(point: Point, told: str) -> dict[str, Any]:
    """A point as a row of the table."""
    return {
        "run": told,
        "open": f"./blackbox?run={point.run}",
        "queries": point.images,
        "real images sent": point.real,
        "cost, $": round(point.money, 2),
        "test accuracy": percent(point.accuracy),
        "agreement": "" if point.agreement is None else percent(point.agreement),
        "budget used up": point.spent,
        "seed": point.spec.seed,
    }


def figure(points: list[Point], beside: Reference | None, measure: Measure, shown: str, look: Theme) -> dict[str, Any]:
    """A Plotly figure: images asked on a log axis, what was learned, and the line of the best."""
    told, names = drawn(points, measure), named_apart(points)
    data = [_staircase(best(told, measure), measure, look)]
    data += [
        _dots(told, names, group, measure, shown, look) for group in GROUPS if any(kind(p.spec) == group for p in told)
    ]
    lines = [] if beside is None or beside.value(measure) is None else [_level(beside, measure, look)]
    layout = theme.layout(
        look,
        "frontier",
        xaxis={"type": "log", "title": {"text": "queries (different images)"}, "dtick": 1},
        yaxis={"title": {"text": MEASURES[measure].lower() + ", test"}} | SHARES,
        shapes=[shape for shape, _ in lines],
        annotations=[note for _, note in lines],
        hovermode="closest",
    )
    layout["font"] = layout["font"] | {"family": FONT}
    return {"data": data, "layout": layout}


def _dots(
    points: list[Point], names: dict[str, str], group: str, measure: Measure, shown: str, look: Theme
) -> dict[str, Any]:
    own = [point for point in points if kind(point.spec) == group]
    colour = {"mekd": theme.STUDENT, "maker": theme.TEACHER, "local": theme.GOOD}[group][look]
    ring = [3 if point.run == shown else 0 for point in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "uid": group,
        "name": GROUPS[group],
        "x": [point.images for point in own],
        "y": [point.value(measure) for point in own],
        "marker": {
            "color": colour,
            "symbol": MARKS[group],
            "size": 12,
            "line": {"color": theme.INK[look], "width": ring},
        },
        "hovertext": [_hover(point, names[point.run]) for point in own],
        "hoverinfo": "text",
    }


def _hover(point: Point, told: str) -> str:
    agreed = "" if point.agreement is None else f", agreement {percent(point.agreement)}"
    end = "<br>query budget used up" if point.spent else ""
    return (
        f"<b>{escape(told)}</b>, seed {point.spec.seed}<br>{point.images:,} queries, {_real(point)}"
        f"<br>cost {money(point.money)}<br>accuracy {percent(point.accuracy)}{agreed}{end}"
    )


def _real(point: Point) -> str:
    return "real images among them not counted" if point.real is None else f"{point.real:,} of them real"


def _staircase(points: list[Point], measure: Measure, look: Theme) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "uid": "best",
        "name": "best so far",
        "x": [point.images for point in points],
        "y": [point.value(measure) for point in points],
        "line": {"shape": "hv", "color": theme.MUTED[look], "width": 1.5},
        "hoverinfo": "skip",
    }


def _level(beside: Reference, measure: Measure, look: Theme) -> tuple[dict[str, Any], dict[str, Any]]:
    """A dashed line across, and what it is."""
    value = beside.value(measure)
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": value, "y1": value}
    where = {"xref": "paper", "x": 0.5, "xanchor": "center", "yref": "y", "y": value, "yanchor": "top"}
    text = f"on the real local images: {percent(value or 0.0)}"
    note = where | {"text": text, "showarrow": False, "bgcolor": faint(theme.PAPER[look], 0.8)}
    return across | {"line": {"color": theme.GOOD[look], "dash": "dash", "width": 1.5}}, note
