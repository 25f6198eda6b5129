"""What goes on inside both networks: confusions, kinship of classes, stages, gradients, what they know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import run_store, state
from app.inspector._cards import cards, choice, task
from app.panels import knob, turned
from app.panels.cases.augment import KNOB as CHANGE
from app.panels.cases.augment import families
from app.panels.cases.similarity import KNOB as PAIR
from app.panels.cases.similarity import maps
from app.panels.cases.triangle import KNOB as THREE
from app.text import phrases
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import trail
from kdcore.jobs.rows import Run

END = -1  # the student's last weights
OWN = ""  # the line from the student's own first weights


def show(case: Case) -> None:
    """Draw the section: one group at a time, so that only what is looked at is drawn."""
    GROUPS[choice("inside", "Group", {name: name for name in GROUPS})](case)


def _confusion(case: Case) -> None:
    frames = trail(case)
    if frames is not None:
        steps = [*frames.steps.tolist(), END]
        at = state.view().at
        held = END if at is None else max((step for step in frames.steps.tolist() if step <= at), default=steps[0])
        st.select_slider(
            "The student at step", steps, key=state.widget("at step", held), format_func=_step, on_change=_scrub
        )
    cards(case, "confusion", "course", key="inside confusion")


def _step(step: int) -> str:
    return "last weights" if step == END else f"{step:,}"


def _scrub() -> None:
    step = int(state.component("form at step"))
    state.look(at=None if step == END else step)


def _classes(case: Case) -> None:
    if len(case.classes) > 3:
        held = [int(k) for k in knob(state.view(), THREE).split("+") if k.isdecimal() and int(k) < len(case.classes)]
        st.multiselect(
            "Corners of the triangle", range(len(case.classes)), key=state.widget("three", held[:3]), max_selections=3,
            format_func=case.classes.__getitem__, placeholder="the three that are confused most", on_change=_corners,
        )  # fmt: skip
    cards(case, "affinity", "triangle", key="inside classes")


def _corners() -> None:
    chosen = "+".join(str(k) for k in state.component("form three") or () if isinstance(k, int))
    state.look(knobs=turned(state.view(), THREE, chosen))


def _stages(case: Case) -> None:
    done = task(
        case,
        "similarity",
        "Compare all stages",
        "Asks both networks about up to 2,000 of the selected rows and compares every stage with every other: "
        "seconds for small networks, up to a minute for large ones.",
        select=state.view().select,
    )
    if done:
        choice(PAIR, "Networks", maps(case))
    cards(case, "similarity", key="inside stages")


def _gradients(case: Case) -> None:
    task(
        case,
        "conflict",
        "Compute gradients",
        "Sets up the student's training as it stood at its end and takes the gradients of 8 batches of training rows, "
        "and of one batch of each class: some seconds, a minute for large networks. Nothing is learned.",
        **_taught(case),
    )
    cards(case, "conflict", key="inside gradients")


def _taught(case: Case) -> dict[str, Any]:
    """Where the weights of those lie who taught the student."""
    run = run_store.find(case.about.student.run) if case.about.student.run else None
    if run is None:
        return {}
    teacher = run_store.store().finished_teacher(run.spec.teacher.hash) if run.spec.teacher else None
    mentors = [run_store.store().finished_teacher(mentor.hash) for mentor in run.spec.mentors]
    return {"teacher": str(teacher.weights) if teacher else None, "mentors": [str(m.weights) for m in mentors if m]}


def _knowledge(case: Case) -> None:
    task(
        case,
        "knowledge",
        "Compute knowledge points",
        "Learns for 16 of the selected rows how much noise each patch bears before a network's feature changes, for "
        "both networks and up to 8 checkpoints of the student: half a minute for small networks, minutes for large.",
        select=state.view().select,
    )
    cards(case, "knowledge", "knowledge_course", key="inside knowledge")


def _changes(case: Case) -> None:
    done = task(
        case,
        "augment",
        "Perturb the samples",
        "Asks both networks about up to 1,000 of the selected rows, changed in some twenty ways: seconds for small "
        "networks, a minute for large ones.",
        select=state.view().select,
    )
    if done:
        choice(CHANGE, "Change", {family.name: family.name for family in families(case)})
    cards(case, "augment", key="inside changes")


def _line(case: Case) -> None:
    others = _others(case)
    names = phrases.labels(list(others.values())) | {OWN: "its own first weights"}
    picked = st.selectbox(
        "From this student to",
        [OWN, *others],
        key="line to",
        format_func=lambda run_id: names[run_id],
    )
    run = others.get(picked or OWN)
    there = {"folder": str(run.folder), "title": names[run.id]} if run else {}
    task(
        case,
        "line",
        "Interpolate",
        "Mixes the two students' weights at 21 points and asks each mixture about 2,000 training and 2,000 validation "
        "rows: some seconds for small networks, minutes for large ones.",
        **there,
    )
    cards(case, "line", key="inside line")


def _others(case: Case) -> dict[str, Run]:
    """Finished runs of the student's architecture on its data."""
    own = run_store.find(case.about.student.run) if case.about.student.run else None
    if own is None:
        return {}
    runs = run_store.store().runs(states={"done"})
    same = [run for run in runs if run.spec.student == own.spec.student and run.spec.data == own.spec.data]
    return {run.id: run for run in same if run.id != own.id}


GROUPS: dict[str, Callable[[Case], None]] = {
    "Confusion": _confusion,
    "Classes": _classes,
    "Stages": _stages,
    "Gradients": _gradients,
    "Knowledge": _knowledge,
    "Perturbations": _changes,
    "Line": _line,
}
