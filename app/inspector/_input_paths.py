"""The way along which the two models part: the straight line to another row, and a small change that joins them."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import streamlit as st

from app import state, theme
from app.components.chart import chart
from app.inspector._answers import answered, named, pinned
from app.panels._figure import line
from app.reports import html_images
from app.text.phrases import percent
from app.theme import Theme
from kdcore.comparison.case import Case

GOALS = {
    "teacher": "Nearest training row of the teacher's answer",
    "student": "Nearest training row of the student's answer",
    "beside": "The row beside",
}


def show(case: Case) -> None:
    """Both for the first pinned row."""
    row, *others = pinned(case)
    _line(case, row, others)
    _smallest(case, row)


# The straight line


def _line(case: Case, row: int, others: list[int]) -> None:
    known = [goal for goal in GOALS if (goal != "teacher" or case.about.teacher) and (goal != "beside" or others)]
    goal = st.selectbox(f"The straight line from row {row} to", known, format_func=GOALS.__getitem__, key="way to")
    wishes = {"beside": others[0]} if goal == "beside" else {}
    told = answered(case, "way", row=row, to=goal, **wishes)
    if told is None:
        return
    look = state.view().theme
    chart(figure(case, told, look), look, height=300, key="way chart")
    shares = np.linspace(0, 1, len(told["pictures"]))
    pictures = [html_images.figure(x, f"{share:.0%}", "") for x, share in zip(told["pictures"], shares, strict=True)]
    st.html(html_images.style(look) + html_images.row(pictures) + html_images.sentences(along(case, told)))


def figure(case: Case, told: dict[str, Any], look: Theme) -> dict[str, Any]:
    """Return the probabilities of the two classes along the way; a dotted line where a model changes its answer."""
    traces, marks = [], []
    for who, colour in (("teacher", theme.TEACHER[look]), ("student", theme.STUDENT[look])):
        if who not in told:
            continue
        probability = np.array(told[who]["probability"])
        for place, dash in ((0, "solid"), (1, "dash")):
            name = f"{who}: {named(case, told['classes'][place])}"
            traces.append(line(name, told["share"], probability[:, place], colour, line={"dash": dash}))
        marks += [_upright(flip["share"], colour) for flip in told[who]["flips"]]
    layout = theme.layout(
        look,
        "line",
        xaxis={"title": {"text": "share of the way"}, "tickformat": ".0%", "range": [0, 1]},
        yaxis={"title": {"text": "probability"}, "tickformat": ".0%", "range": [0, 1.02]},
        shapes=marks,
        hovermode="x unified",
    )
    return {"data": traces, "layout": layout}


def _upright(x: float, colour: str) -> dict[str, Any]:
    across = {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
    return across | {"line": {"color": colour, "width": 1.5, "dash": "dot"}}


def along(case: Case, told: dict[str, Any]) -> list[str]:
    """Where each model changes its answer on the way, and where the two are of one mind."""
    end = told["end"]
    where = "training row" if end["training"] else "row"
    said = [f"The way ends at {where} {end['row']}, which is {escape(named(case, end['label']))}."]
    for who in ("teacher", "student"):
        if who in told:
            steps = [f"{escape(named(case, flip['to']))} at {flip['share']:.0%}" for flip in told[who]["flips"]]
            said.append(
                f"The {who} changes to {', to '.join(steps)}." if steps else f"The {who} never changes its answer."
            )
    if "teacher" in told:
        same = np.mean(np.array(told["teacher"]["answers"]) == np.array(told["student"]["answers"]))
        said.append(f"They agree on <b>{percent(float(same))}</b> of {len(told['share'])} steps.")
    return said


# The small search


def _smallest(case: Case, row: int) -> None:
    if case.about.teacher is None:
        return
    told = answered(case, "smallest", row=row)
    if told:
        st.html(html_images.style(state.view().theme) + change(case, told, state.view().theme))


def change(case: Case, told: dict[str, Any], look: Theme) -> str:
    """Return the row, what is added to it, and what it becomes."""
    before = html_images.figure(told["image"], "Before", _both(case, told["before"]))
    wish = "agree" if told["goal"] == "agree" else "differ"
    if not told["found"]:
        none = f"No change was found after which they {wish}, in {told['steps']} steps across the student's boundary."
        return html_images.row([before]) + html_images.sentences([none])
    gap, veils = np.array(told["gap"]), list[html_images.Veil]()
    if gap.ndim == 3:
        veils = html_images.signed(gap.mean(0), look)
        blank: Any = np.zeros((1, *gap.shape[1:]), dtype=np.uint8).tolist()
    else:
        blank = gap.tolist()
    unit = f"of at most {255 * told['largest']:.0f} of 255 grey levels" if gap.ndim == 3 else "in the plane"
    shown = [
        before,
        html_images.figure(blank, "Change", "brighter green,<br>darker purple" if veils else "", veils),
        html_images.figure(told["changed"], "After", _both(case, told["after"])),
    ]
    said = [
        f"After a change of length <b>{told['norm']:.3g}</b> {unit}, they {wish}"
        + (" (length: the root of summed squares, pixels from 0 to 1)." if veils else "."),
        f"Found in {told['steps']} steps across the student's nearest boundary; the smallest may be shorter."
        + (" Its pixels need not be whole numbers." if veils else ""),
    ]
    return html_images.row(shown) + html_images.sentences(said)


def _both(case: Case, answers: list[int]) -> str:
    ours, theirs = (escape(named(case, place)) for place in answers)
    return f"teacher {theirs}<br>student {ours}"
