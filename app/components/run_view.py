"""One run on a page: its title, the bar that plays it, how it ended, its panels; Lab and Black box share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode

import streamlit as st

from app import run_store, state
from app.components.cli_command import command
from app.components.remote_consent import confirmation, start_button
from app.forms import fields
from app.links import lab
from app.live import live, tokens
from app.panels._applicable import suited
from app.text import consent, phrases, run_names
from app.text.sending import OPTION
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE, RESUMABLE
from kdcore.runs.by_hand import by_hand
from kdcore.runs.private_rows import walled
from kdcore.runs.record import stamp_of
from kdcore.spec.catalogue import entry
from kdcore.spec.lineage import taught
from kdcore.spec.query_limits import sends_local
from kdcore.spec.schedule import Json
from kdcore.spec.spec import SETTABLE, Spec
from kdcore.upload_checks.before_run import check_file

LONG, LONG_PX = 600, 160  # characters of a link or command from which on it scrolls, and its height then
CONSENT = "real images"  # the box that allows them in files
Order = Callable[[list[str]], list[str]]  # of panels, out of those that suit a run
Width = Literal["stretch", "content"]
Take = Callable[[Run], None]  # a run's settings into the page's form
Moment = tuple[str, str, int]  # of a run: its state, its spec's hash, and the changes that were made by its step


def opening(makes: bool) -> tuple[Run | None, bool]:
    """The run on show and whether it is a recorded one that nobody asked for; what went wrong stands above it.

    Args:
        makes: whether the page's recorded runs are those whose source makes its images.
    """
    run = _wanted()
    demo = run is None
    run = run or run_store.newest_demo(makes)
    for sentence in state.complaints():
        st.warning(phrases.verbatim(sentence))
    _undo()
    return run, demo


def next_run(asked: Spec | None, run: Run | None) -> None:
    """Whose settings the form holds, where they are not those of the run on show.

    Args:
        asked: what the form asks for; None where it is not complete.
        run: the run on show.
    """
    left = phrases.differences([run.spec, asked]) if run and asked else {}
    if left:
        told = run_names.few([run_names.setting(path) for path in run_names.ordered(left)])
        st.info(f"**Settings for the next run.** The displayed run differs in {told}.", icon=":material/next_plan:")


def playing(recorded: Run, asked: Spec | None) -> str:
    """What a recorded run is that plays unasked, and what Run starts beside it."""
    if asked and not phrases.differences([recorded.spec, asked]):
        return "**A recorded run is playing; press Run to start a real one here.**"
    started = f": {phrases.verbatim(phrases.title(asked))}." if asked else "."
    return (
        f"**A recorded run is playing: {phrases.verbatim(phrases.title(recorded.spec))}.** Run starts a real one here "
        f"with the settings in the form{started}"
    )


def run_button(asked: Callable[[], Spec], obstacle: str | None, says: str, key: str, width: Width = "stretch") -> None:
    """Starts the run that is asked for; where something stands in the way it cannot be pressed, and says what."""
    st.button(
        "Run",
        key=key,
        type="primary",
        icon=":material/play_arrow:",
        width=width,
        disabled=obstacle is not None,
        help=obstacle or says,
        on_click=state.attempt,
        args=(partial(_submit, asked),),
    )


def _submit(asked: Callable[[], Spec]) -> None:
    wanted = asked()
    check_file(wanted)
    run = run_store.store().submit(wanted, state.viewer(), also=state.owners())
    if run.state == "done":
        state.complain("This run was already done, so its results are shown; change the seed for a new run.")
    state.show(run.id)


def _wanted() -> Run | None:
    """The run that the link names; what hinders is told on the page."""
    try:
        return run_store.find(state.shown().run)
    except BadInput as error:
        state.complain(str(error))
        state.show(None)
        return None


def show(run: Run, demo: bool, take: Take, chosen: Order = list, between: Callable[[Run], None] | None = None) -> None:
    """One run: its title, the bar that plays it, what came out, and the panels.

    Args:
        run: the run.
        demo: whether it plays by itself, as nobody asked for it.
        take: puts its settings into the page's form.
        chosen: of the panels that suit it those shown here, in the page's own order.
        between: what the page shows above the panels once the run is over.
    """
    mine = state.owns(run)
    knobs, shared = _knobs(run, mine), _shared() | _reporting("transport")
    with st.container(key="head").container(key=f"title-{run.id}"):  # the bar reads off it whose title stands there
        st.subheader(phrases.verbatim(phrases.heading(run)), anchor=False, help=phrases.unnamed(run.spec))
    if not mine and run.owner != run_store.DEMO:
        st.caption("Read-only: this run belongs to another user. Press Run to start your own.")
    live("transport", run.id, **shared, settings=knobs, autoplay=demo)  # close behind its title
    again = 1.0 if run.state in ACTIVE else None
    state.fragment(_aftermath, again, _outdated)(run.id, _moment(run), mine, suited(run), take)
    if walled(run.spec):
        st.checkbox(consent.ASKED, key=CONSENT, help=consent.HELP)
    if between and run.state not in ACTIVE:
        between(run)
    panels(run, chosen)


def panels(run: Run, chosen: Order = list, key: str = "panels") -> None:
    """Panels of a run; several groups of them can stand on one page."""
    guard = "" if allowed(run) else consent.UNASKED
    live("panels", run.id, **_shared(), **_reporting(key), panels=chosen(suited(run)), guard=guard)


def allowed(run: Run) -> bool:
    """Whether files may show the rows of a run: behind a wall the box has to be ticked."""
    return not walled(run.spec) or bool(state.component(CONSENT))


def _shared() -> dict[str, Any]:
    return {"view": state.view(), "token": tokens.issue(state.viewer())}


def _reporting(key: str) -> dict[str, Any]:
    return {"key": key, "on_view": partial(state.heard, key)}


def _knobs(run: Run, mine: bool) -> list[dict[str, object]]:
    """What may be changed while the run is under way."""
    if not mine or run.state not in ACTIVE:
        return []
    settings = lab.settings_of(run.spec)
    now = _changed(run)
    found: list[dict[str, object]] = []
    fixed = entry("method", run.spec.method.name)["fixed"]
    for key in [*SETTABLE, *(f"method.{name}" for name in run.spec.method.knobs if name not in fixed)]:
        info = lab.field_of(settings, key)
        if info.annotation in (int, float):
            low, high = fields.bounds(info)
            name = fields.title_of(key)
            found.append({"path": key, "label": name, "value": now.get(key, settings[key]), "min": low, "max": high})
    return found


def _changed(run: Run) -> dict[str, Json]:
    """Settings that were changed by the step where the run stands, and their values."""
    return {one.path: one.value for one in run.spec.changes if one.step <= run.step}


def _moment(run: Run) -> Moment:
    """What a page is drawn of: a change that was planned has its own moment too, though the spec stays as it is."""
    return run.state, run.hash, len([one for one in run.spec.changes if one.step <= run.step])


def _outdated(run_id: str, before: Moment, _: bool, names: list[str], __: Take) -> bool:
    """Whether a run moved on, was changed or shows more than when the page was drawn, or is gone."""
    run = run_store.known(run_id)
    return run is None or _moment(run) != before or suited(run) != names


def _aftermath(run_id: str, _: Moment, mine: bool, __: list[str], take: Take) -> None:
    """How it ended and what to do next; while it runs, this looks once a second whether the page is outdated."""
    run = run_store.known(run_id)
    if run is None:
        st.rerun()
    if run.state == "done":
        with st.container(key="ending"):  # a replay hides it until its own end
            result, hand = _ending(run)
            told = " ".join(filter(None, (phrases.outcome(result, taught(run.spec)), hand)))
            (st.warning if phrases.stuck(result) else st.success)(told)
    with st.container(horizontal=True, vertical_alignment="center"):
        if mine and run.state in RESUMABLE:
            _act("Resume", "play_arrow", partial(run_store.store().resume, run.id, state.owners()))
        if run.state not in ACTIVE:
            start_button("Another seed", "casino", f"seed {run.id}", partial(_reseeded, run), partial(_again, run))
        if not state.follows(run):
            _act("Load these settings", "fork_right", partial(take, run))
        _inspect(run)
        _share(run)
        if mine and run.state not in ACTIVE:
            _act("Delete", "delete", partial(_delete, run.id))
    if run.state not in ACTIVE:
        confirmation(f"seed {run.id}", partial(_reseeded, run), partial(_again, run))


def _ending(run: Run) -> tuple[dict[str, float], str]:
    """Return the result with the number of test samples, which old runs leave out, and what was sent by hand of a
    budget that was used up."""
    result = dict(run.result or {})
    began = next((heard.event for heard in run_store.store().events(run.id, limit=1)), None)
    if not isinstance(began, Started):
        return result, ""
    sent = by_hand(run.folder, len(began.classes)).images if run.spec.remote and result.get("spent") else 0
    hand = f"Part of that budget: {phrases.sent_by_hand(sent)}." if sent else ""
    return {"test_rows": float(began.rows["test"])} | result, hand


def _inspect(run: Run) -> None:
    """The way to the Inspector, once there are weights to ask."""
    if run.state not in ACTIVE and stamp_of(run.folder):
        asked = {"student": run.id}
        st.page_link("views/inspector.py", label="Inspect", icon=":material/troubleshoot:", query_params=asked)


def _act(label: str, icon: str, act: Callable[[], object]) -> None:
    st.button(label, icon=f":material/{icon}:", on_click=state.attempt, args=(act,))


def _reseeded(run: Run) -> list[Spec]:
    return [run_store.altered(run.spec, seed=(run.spec.seed + 1) % 2**31)]


def _again(run: Run) -> None:
    """The same settings with the next seed; a form that held the run's settings goes along."""
    (wanted,) = _reseeded(run)
    new = run_store.store().submit(wanted, state.viewer())
    if state.follows(run):
        state.follow(new)
    state.show(new.id)


def _share(run: Run) -> None:
    with st.popover("Share", icon=":material/share:"):
        query = state.codec().write(state.shown()._replace(run=run.id))
        st.caption("Link to this view:")
        _copied(f"{(st.context.url or '').partition('?')[0]}?{urlencode(query)}")
        early = phrases.broken_off(run)
        told = f"This run was {early}; from the command line, these settings run all {run.steps:,} steps:"
        st.caption(told if early else "The same run from the command line:")
        allowed = f" {OPTION}" if sends_local(run.spec) else ""
        _copied(command(run.spec) or f"kdlab run --spec {run.id}.json{allowed}", "sh")
        text = run.spec.model_dump_json(indent=2)
        st.download_button("Download settings", text, f"{run.id}.json", "application/json", icon=":material/download:")


def _copied(text: str, language: str | None = None) -> None:
    """Text to copy; where it is long, as with points in it, it scrolls, so that what comes below stays in reach."""
    st.code(text, language=language, wrap_lines=True, height=LONG_PX if len(text) > LONG else "content")


def _delete(run_id: str) -> None:
    run_store.store().delete(run_id, state.owners())
    state.show(None)
    state.remember("deleted", [run_id])


def _undo() -> None:
    """The way back, right after deleting."""
    gone = state.recall("deleted", [])
    if gone:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("The run was deleted.")
            _act("Undo", "undo", partial(_restore, gone[0]))


def _restore(run_id: str) -> None:
    run_store.store().restore(run_id, state.owners())
    state.remember("deleted", [])
    state.show(run_id)
