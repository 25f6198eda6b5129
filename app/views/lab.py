"""The Lab: ask for a run on the left, watch it on the right."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode

import streamlit as st

from app import asking, engine, forms, link, points, state, words
from app.command import command
from app.link import NO_TEACHER, Settings
from app.live import live, tokens
from app.suited import suited
from kdcore.catalogue import entry
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE, RESUMABLE
from kdcore.spec import SETTABLE

ONLY_WITH = {"milestones": ("decay", "step"), "gamma": ("decay", "step"), "nesterov": ("optimizer", "sgd")}


# Ask


def ask(settings: Settings) -> None:
    """The form, in the order in which a run is thought of."""
    _run_button(settings, "run")
    asking.pick("data", "Data", settings)
    own = [key for key in _keys(settings, "data") if key != points.SETTING]
    _more("data", "Data settings", settings, sorted(own, key=lambda key: key.partition(".")[2] in asking.TROUBLES))
    asking.pick("teacher", "Teacher", settings)
    _cost("teacher", settings)
    if settings["teacher"] != NO_TEACHER:
        taught = [*_keys(settings, "teacher"), *_keys(settings, "teaching")]
        _more("teacher", "Teacher settings", settings, taught)
        forms.access(settings, "What the teacher shows")
    asking.pick("student", "Student", settings)
    _cost("student", settings)
    _more("student", "Student settings", settings, _keys(settings, "student"))
    asking.pick("method", "Method", settings)
    _method(settings)
    _more(
        "schedule", "Training settings", settings, [*_keys(settings, "schedule"), *_keys(settings, "source"), "device"]
    )
    forms.fields(settings, ["seed"])
    if link.changed(settings):
        st.button("Back to what is recommended", on_click=_reset, icon=":material/restart_alt:", width="stretch")


def _keys(settings: Settings, part: str) -> list[str]:
    """The settings below a part that matter with the others as they are."""
    found = [f"{part}.{name}" for name in link.below(settings, part)]
    return [key for key in found if _matters(settings, *key.split(".", 1)) or key in link.changed(settings)]


def _matters(settings: Settings, part: str, name: str) -> bool:
    other, value = ONLY_WITH.get(name, ("", None))
    return settings.get(f"{part}.{other}", value) == value


def _more(part: str, title: str, settings: Settings, keys: list[str]) -> None:
    count = forms.differing(settings, keys)
    if keys:
        with st.expander(f"{title} · {count} changed" if count else title, key=f"more {part}"):
            forms.fields(settings, keys)


def _cost(part: str, settings: Settings) -> None:
    if settings[part] == NO_TEACHER:
        return
    own = asking.cost(settings, part)
    st.caption(words.size(own) if own else "Its size is known once it is built.")
    taught = part == "student" and settings["teacher"] != NO_TEACHER
    teacher = asking.cost(settings, "teacher") if taught else None
    if own and teacher:
        st.caption(words.ratio(teacher, own))


def _method(settings: Settings) -> None:
    method = entry("method", str(settings["method"]))
    st.caption(method["doc"].splitlines()[0])
    if demands := words.demands(method, link.below(settings, "method")):
        st.caption(demands)
    _more("method", "Method settings", settings, _keys(settings, "method"))
    with st.expander("Equation and source", key="equation"):
        st.latex(method["equation"])
        st.markdown(
            f"{method['paper']}\n\n**Departs from it:** {method['departs']}\n\n**Zero when:** {method['zero_when']}"
        )


def _reset() -> None:
    names = {part: state.shown().settings[part] for part in ("data", "method")}
    state.attempt(lambda: state.take(link.complete(names)))


def _run_button(settings: Settings, key: str, width: Literal["stretch", "content"] = "stretch") -> None:
    obstacle = asking.hindrance(settings)
    st.button(
        "Run",
        key=key,
        type="primary",
        icon=":material/play_arrow:",
        width=width,
        disabled=obstacle is not None,
        help=obstacle or "Start a run with these settings on this machine.",
        on_click=state.attempt,
        args=(_run,),
    )
    if obstacle:
        st.warning(obstacle)


def _run() -> None:
    run = engine.store().submit(link.spec_of(state.shown().settings), state.viewer())
    if run.state == "done":
        state.complaints().append("You have run exactly this before, so here it is; another seed gives a new run.")
    state.show(run.id)


# Show


def stage(settings: Settings) -> None:
    """The run on show, or the newest recorded one."""
    run = _wanted()
    demo = run is None
    run = run or engine.newest_demo()
    for sentence in state.complaints():
        st.warning(sentence)
    _undo()
    if settings["data"] == "points":
        with st.expander("Your points", expanded=demo, key="points", icon=":material/draw:"):
            points.editor(settings)
    if demo:
        _invitation(settings, run)
    if run is not None:
        _show(run, demo)


def _wanted() -> Run | None:
    """The run that the link names."""
    try:
        return engine.find(state.shown().run)
    except BadInput as error:
        state.complaints().append(str(error))
        state.show(None)
        return None


def _invitation(settings: Settings, recorded: Run | None) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if recorded:
            st.markdown("**A recorded run is playing; press Run to start a real one here.**")
        else:
            st.markdown(
                "**A large network teaches a small one, and you watch.** Choose data, a teacher, a student and a "
                "method, or keep what is recommended, and press Run: the teacher is trained first, then the student."
            )
        _run_button(settings, "run here", "content")


def _show(run: Run, demo: bool) -> None:
    """One run: its title, the bar that plays it, what came out, and the panels."""
    token = tokens.issue(state.viewer())
    st.subheader(words.title(run.spec), anchor=False)
    mine = run.owner == state.viewer()
    if not mine and run.owner != engine.DEMO:
        st.caption("Somebody else's run: you may look; to have your own, take its settings into the form.")
    shared = {"view": state.view(), "token": token}
    live("transport", run.id, **shared, **_reporting("transport"), settings=_knobs(run, mine), autoplay=demo)
    names = suited(run)
    st.fragment(_aftermath, run_every=1.0 if run.state in ACTIVE else None)(run.id, run.state, mine, names)
    live("panels", run.id, **shared, **_reporting("panels"), panels=names)


def _reporting(key: str) -> dict[str, Any]:
    return {"key": key, "on_view": partial(state.heard, key)}


def _knobs(run: Run, mine: bool) -> list[dict[str, object]]:
    """What may be changed while the run is under way."""
    if not mine or run.state not in ACTIVE:
        return []
    settings = link.settings_of(run.spec)
    found = []
    fixed = entry("method", run.spec.method.name)["fixed"]
    for key in [*SETTABLE, *(f"method.{name}" for name in run.spec.method.knobs if name not in fixed)]:
        info = link.field_of(settings, key)
        if info.annotation in (int, float):
            low, high = forms.bounds(info)
            name = forms.label(key.partition(".")[2])
            found.append({"path": key, "label": name, "value": settings[key], "min": low, "max": high})
    return found


def _aftermath(run_id: str, state_before: str, mine: bool, names: list[str]) -> None:
    """How it ended and what to do next; while it runs, this looks once a second whether it has, or shows more."""
    run = engine.store().get(run_id)
    if run.state != state_before or suited(run) != names:
        st.rerun()
    if run.state == "done":
        st.success(words.outcome(run.result or {}))
    with st.container(horizontal=True):
        if mine and run.state in RESUMABLE:
            _act("Go on", "play_arrow", partial(engine.store().resume, run.id, state.viewer()))
        if run.state not in ACTIVE:
            _act("Another seed", "casino", partial(_again, run))
        _act("Settings into the form", "fork_right", partial(_fork, run))
        _share(run)
        if mine and run.state not in ACTIVE:
            _act("Delete", "delete", partial(_delete, run.id))


def _act(label: str, icon: str, act: partial[object]) -> None:
    st.button(label, icon=f":material/{icon}:", on_click=state.attempt, args=(act,))


def _again(run: Run) -> None:
    """The same settings with the next seed."""
    seed = (run.spec.seed + 1) % 2**31
    state.show(engine.store().submit(engine.altered(run.spec, seed=seed), state.viewer()).id)


def _fork(run: Run) -> None:
    settings = link.complete(link.settings_of(run.spec))
    state.take(settings)
    left = words.differences([link.spec_of(settings), run.spec])
    if left:
        state.complaints().append(f"The form cannot show all of this run; it differs in {', '.join(left)}.")


def _share(run: Run) -> None:
    with st.popover("Share", icon=":material/share:"):
        query = link.write(state.shown()._replace(run=run.id))
        st.caption("A link to this view:")
        st.code(f"{(st.context.url or '').partition('?')[0]}?{urlencode(query)}", language=None, wrap_lines=True)
        st.caption("The same run from a command line:")
        st.code(command(run.spec) or f"kdlab run --spec {run.id}.json", language="sh", wrap_lines=True)
        text = run.spec.model_dump_json(indent=2)
        st.download_button("Settings as a file", text, f"{run.id}.json", "application/json", icon=":material/download:")


def _delete(run_id: str) -> None:
    engine.store().delete(run_id, state.viewer())
    state.show(None)
    state.remember("deleted", [run_id])


def _undo() -> None:
    gone = state.recall("deleted", [])
    if gone:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("The run was deleted.")
            _act("Undo", "undo", partial(_restore, gone[0]))


def _restore(run_id: str) -> None:
    engine.store().restore(run_id, state.viewer())
    state.remember("deleted", [])
    state.show(run_id)


state.arrive(state.LAB)
with st.sidebar:
    ask(state.shown().settings)
stage(state.shown().settings)
state.save()
