"""How a method fared in the study of the whole catalogue: its own lines, and all methods in one table."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any

import streamlit as st

from app.results.studies import BUDGETS, FOLDER, PublishedStudy, commits, cost, extent, parse, reading, won
from kdcore.errors import BadInput
from kdcore.spec.catalogue import entry
from kdcore.study.study import LEVEL, Cell, Verdict, cells, strict, verdicts

STUDY = "catalogue"
ALONE = "ce"  # the student without a teacher
GAIN = "Gain, points"


@lru_cache(maxsize=2)
def results(text: str) -> tuple[PublishedStudy, list[Cell], list[Verdict]]:
    """The study in the text of its file, and its tables."""
    found = parse(text)
    return found, cells(found.study, found.rows), verdicts(found.study, found.rows)


def standing(method: str) -> None:
    """What came of a method beside plain distillation and the student alone."""
    try:
        found, all_cells, all_verdicts = results((FOLDER / f"{STUDY}.json").read_text(encoding="utf-8"))
    except (BadInput, OSError):
        return  # a copy without the study's results shows the rest
    reference = found.study.reference
    st.subheader("Benchmark results", anchor=False)
    budgets = found.study.budgets
    budget = st.segmented_control(
        "Same budget for every method",
        budgets,
        default=budgets[0],
        required=True,
        format_func=lambda one: BUDGETS[one].format(reference=reference),
        key="budget",
    )
    compared = [verdict for verdict in all_verdicts if verdict.budget == budget]
    for verdict in compared:
        if verdict.method == method:
            st.markdown(sentence(verdict, reference, len(compared)))
    shown = [reference, ALONE, *([method] if method not in (reference, ALONE) else [])]
    own = [cell for cell in all_cells if cell.budget == budget and cell.method in shown]
    st.table([line(cell) for cell in own], hide_index=True, alt="Results against plain distillation and no teacher")
    title = "All methods, best first"
    with st.expander(title, icon=":material/leaderboard:", key="ranking", on_change="rerun") as ranking:
        if ranking.open:  # a browser builds what it hides, too
            st.dataframe([place(one) for one in compared], hide_index=True, width="stretch")
    st.caption(
        f"Against {reference}, over all tasks and seeds, by test accuracy after the last step. {reading(compared)}"
    )
    tasks = "; ".join(f"{task.name}: {task.says[:1].lower()}{task.says[1:].rstrip('.')}" for task in found.study.tasks)
    st.caption(
        f"Study of {found.date}, {commits(found)}, {found.machine}, {extent(found)}; "
        f"± is half of a {LEVEL:.0%} interval over the seeds. Tasks: {tasks}. "
        f"`kdlab study assets/studies/{STUDY}.yaml` repeats it."
    )


def sentence(verdict: Verdict, reference: str, compared: int) -> str:
    """One method of so many against the reference in words."""
    pairs = verdict.wins + verdict.losses
    gain = f"{100 * abs(verdict.gain):.1f} points {'more' if verdict.gain >= 0 else 'less'}"
    return (
        f"More accurate than {reference} in {verdict.wins} of {pairs} pairs of equal task and seed "
        f"(p = {verdict.p:.2g}, {sure(verdict.p, compared)}) and on {won(verdict)} tasks; {gain} on average."
    )


def sure(p: float, compared: int) -> str:
    """What a p is worth beside so many comparisons, on the study's own tasks."""
    if p < strict(compared):
        return "significant on these tasks"
    return f"which may be chance among {compared} methods" if p < strict(1) else "which may be chance"


def line(cell: Cell) -> dict[str, Any]:
    """One method on one task."""
    if cell.error:
        return {"Task": cell.task, "Method": titled(cell.method), "Accuracy": cell.error}
    told = {"Task": cell.task, "Method": titled(cell.method)}
    told |= {name: percent(cell, name.lower()) for name in ("Accuracy", "Agreement", "ECE")}
    return told | {"Step cost": cost(cell), "Steps": f"{cell.steps:.0f}"}


def percent(cell: Cell, metric: str) -> str:
    """A mean with half its interval, where there is one."""
    if metric not in cell.mean:
        return ""
    spread = f" ± {100 * cell.half[metric]:.1f}" if isfinite(cell.half[metric]) else ""
    return f"{100 * cell.mean[metric]:.1f} %{spread}"


def place(verdict: Verdict) -> dict[str, Any]:
    """One line of the table of all methods."""
    told = {"Method": titled(verdict.method), GAIN: round(100 * verdict.gain, 2)}
    told |= {"Better": verdict.wins, "Worse": verdict.losses, "p": float(f"{verdict.p:.2g}")}
    return told | {"Tasks won": won(verdict)}


def titled(method: str) -> str:
    """The method's title; a variant's own label."""
    try:
        return str(entry("method", method)["title"])
    except BadInput:
        return method
