"""The Lab: ask for a run on the left, watch it on the right."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import streamlit as st

from app import state
from app.components import run_view
from app.forms import choices, draw_points, fields
from app.links import lab
from app.links.lab import NO_TEACHER, Settings
from app.text import formulas, phrases
from app.text import lab as text
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.spec.catalogue import entry
from kdcore.spec.spec import Spec

ONLY_WITH = {"milestones": ("decay", "step"), "gamma": ("decay", "step"), "nesterov": ("optimizer", "sgd")}


# Ask


def ask(settings: Settings, run: Run | None) -> None:
    """The form, in the order in which a run is thought of, beside the run on show."""
    _run_button(settings, "run")
    run_view.next_run(_wished(), run)
    choices.pick("data", "Data", settings)
    own = [key for key in _keys(settings, "data") if key not in (draw_points.SETTING, draw_points.NAMES)]
    _more("data", "Data settings", settings, sorted(own, key=lambda key: key.partition(".")[2] in choices.TROUBLES))
    choices.pick("teacher", "Teacher", settings)
    _cost("teacher", settings)
    if settings["teacher"] != NO_TEACHER:
        taught = [*_keys(settings, "teacher"), *_keys(settings, "teaching")]
        _more("teacher", "Teacher settings", settings, taught)
        fields.access(settings, text.ACCESS)
    choices.pick("student", "Student", settings)
    _cost("student", settings)
    _more("student", "Student settings", settings, _keys(settings, "student"))
    choices.pick("method", "Method", settings)
    _method(settings)
    _more(
        "schedule", "Training settings", settings, [*_keys(settings, "schedule"), *_keys(settings, "source"), "device"]
    )
    fields.fields(settings, ["seed"])
    if lab.changed(settings):
        st.button(text.RESET, on_click=_reset, icon=":material/restart_alt:", width="stretch")


def _keys(settings: Settings, part: str) -> list[str]:
    """The settings below a part that matter with the others as they are."""
    found = [f"{part}.{name}" for name in lab.below(settings, part)]
    return [key for key in found if _matters(settings, *key.split(".", 1)) or key in lab.changed(settings)]


def _matters(settings: Settings, part: str, name: str) -> bool:
    other, value = ONLY_WITH.get(name, ("", None))
    return settings.get(f"{part}.{other}", value) == value


def _more(part: str, title: str, settings: Settings, keys: list[str]) -> None:
    count = fields.differing(settings, keys)
    if keys:
        with st.expander(f"{title} · {count} changed" if count else title, key=f"more {part}"):
            fields.fields(settings, keys)


def _cost(part: str, settings: Settings) -> None:
    if settings[part] == NO_TEACHER:
        return
    own = choices.cost(settings, part)
    st.caption(phrases.size(own) if own else text.SIZE_UNKNOWN)
    taught = part == "student" and settings["teacher"] != NO_TEACHER
    teacher = choices.cost(settings, "teacher") if taught else None
    if own and teacher:
        st.caption(phrases.ratio(teacher, own))


def _method(settings: Settings) -> None:
    method = entry("method", str(settings["method"]))
    st.caption(method["doc"].splitlines()[0])
    if demands := phrases.demands(method, lab.below(settings, "method")):
        st.caption(demands)
    _more("method", "Method settings", settings, _keys(settings, "method"))
    fields.fold(text.EQUATION, "equation", partial(_equation, method))


def _equation(method: Mapping[str, Any]) -> None:
    st.markdown(rf"$\displaystyle {method['equation']}$")  # within a text it is broken where the line ends
    st.markdown(f"{phrases.verbatim(method['paper'])}\n\n{formulas.origin(method)}")


def _reset() -> None:
    names = {part: state.shown().settings[part] for part in ("data", "method")}
    state.attempt(lambda: state.take(lab.complete(names)))


def _run_button(settings: Settings, key: str, width: run_view.Width = "stretch") -> None:
    obstacle = choices.hindrance(settings)
    run_view.run_button(_asked, obstacle, text.RUN_HELP, key, width)
    if obstacle:
        st.warning(phrases.verbatim(obstacle))


def _asked() -> Spec:
    return lab.spec_of(state.shown().settings)


def _wished() -> Spec | None:
    """What the form asks for, where that is a run."""
    with suppress(BadInput):  # which stands beside the button that cannot be pressed
        return _asked()
    return None


# Show


def stage(settings: Settings, run: Run | None, demo: bool) -> None:
    """The run on show, or the newest recorded one."""
    if settings["data"] == "points":
        with st.expander(text.POINTS, expanded=demo, key="points", icon=":material/draw:"):
            draw_points.editor(settings)
    if demo:
        _invitation(settings, run)
    if run is not None:
        run_view.show(run, demo, _fork)


def _invitation(settings: Settings, recorded: Run | None) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if recorded:
            st.markdown(run_view.playing(recorded, _wished()))
        else:
            st.markdown(text.INVITATION)
        _run_button(settings, "run here", "content")


def _fork(run: Run) -> None:
    state.follow(run)
    left = phrases.differences([_asked(), run.spec])
    if left.pop("changes", None):
        state.complain(phrases.UNPLANNED)
    if left:
        state.complain(text.NOT_SHOWN.format(settings=", ".join(left)))


state.arrive(state.LAB)
on_show, playing = run_view.opening(makes=False)
stage(state.shown().settings, on_show, playing)  # first: it waits for its run, and nobody for the form
with st.sidebar:
    ask(state.shown().settings, on_show)
state.save()
