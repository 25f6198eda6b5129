"""The Black box: a teacher behind a wall is asked about images, a student learns from it, and all is counted."""

from __future__ import annotations

import streamlit as st

from app import run_store, state
from app.components import run_view
from app.components.frontier_chart import frontier
from app.forms import fields
from app.forms.service_form import lacking, service
from app.helpers.microscope import lens
from app.links import black_box
from app.links.black_box import OURS, SERVICE
from app.links.lab import Settings
from app.reports.html_report import anchor, facts_of, report
from app.reports.verdict import PARTS, verdict
from app.text import orders, phrases
from kdcore.blackbox.orders import Order, drowned, remote, spec, title
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.jobs.rows import Run
from kdcore.spec.catalogue import catalogue, entry
from kdcore.spec.checks import check
from kdcore.spec.presets import pools, preset
from kdcore.spec.query_limits import cramped
from kdcore.spec.spec import Spec

FIRST = ("made", "inversions", "cells", "meter", "accuracy", "fidelity", "coverage", "pull", "copies", "loss")

# Ask


def ask(settings: Settings, run: Run | None) -> None:
    """The form: the cloud, the edge, and what may be asked; beside the run on show."""
    order, asked, obstacle = _ordered(settings)
    _run_button(obstacle)
    run_view.next_run(asked, run)
    st.markdown("**Teacher (black-box API)**")
    _teacher(settings)
    _choose("access", title("access"), list(orders.ACCESS), orders.ACCESS, settings)
    st.caption(orders.MEANING[str(settings["access"])])
    st.markdown("**Student and local images**")
    _fields(settings, "share", "local")
    granted = orders.options(order) if order else [str(settings["preset"])]
    _choose("preset", title("preset"), granted, {name: orders.option(name) for name in granted}, settings)
    _told(str(settings["preset"]))
    if order and asked:
        st.info(" ".join(filter(None, (orders.leaves(order), orders.costs(asked)))))
        for said in filter(None, (drowned(asked), cramped(asked))):
            st.warning(phrases.verbatim(said))
    pooled = ("pool",) if pools(str(settings["preset"])) else ()
    _fields(settings, "budget", *pooled, "price")
    if order and remote(order.service):
        _choose("measure", title("measure"), list(orders.MEASURE), orders.MEASURE, settings)
        st.caption(orders.measures(order))
    worse = ("top", "digits", "noise") if settings["access"] == "probabilities" else ()
    _more("Teacher outputs", settings, (*worse, "upload"))
    _more("Steps and seed", settings, ("quick", "seed"))
    if order and asked:
        st.caption(orders.steps(order, asked))
    if black_box.complete({}) != settings:
        st.button("Reset to defaults", on_click=_reset, icon=":material/restart_alt:", width="stretch")


def _ordered(settings: Settings) -> tuple[Order | None, Spec | None, str | None]:
    """The order, its run, and the first thing that stands in the way."""
    order = None
    try:
        if unread := state.unread():
            raise BadInput(unread[0])
        order = black_box.order_of(settings)
        asked = spec(order)
        check(asked)
    except BadInput as error:
        return order, None, str(error)
    return order, asked, lacking(order)


def _teacher(settings: Settings) -> None:
    """Who teaches: a network trained here, or somebody else's."""
    known = catalogue()["teacher"]
    if known:
        names = {OURS: "A teacher trained here"} | {name: str(one["title"]) for name, one in known.items()}
        _choose(SERVICE, "Teacher type", list(names), names, settings)
    titles = {name: str(entry("data", name)["title"]) for name in orders.data_sets()}
    _choose("data", title("data"), list(titles), titles, settings)
    kin = [name for name in titles if black_box.kindred(name, str(settings["data"]))]
    if settings[SERVICE] == OURS and kin:
        _choose("taught", title("taught"), ["", *kin], {"": "The same data"} | titles, settings)
    service(settings)


def _choose(key: str, label: str, options: list[str], names: dict[str, str], settings: Settings) -> None:
    """One of several, by its name."""
    offered = options if settings[key] in options else [*options, str(settings[key])]
    st.selectbox(
        label,
        offered,
        format_func=lambda name: names.get(name, name),
        key=state.widget(key, settings[key]),
        on_change=state.picked,
        args=(key, offered),
    )


def _told(name: str) -> None:
    """What a preset is, and what of it is ours."""
    one = preset(name)
    st.caption(" ".join(filter(None, (one.says, one.ours))))


def _fields(settings: Settings, *keys: str) -> None:
    for key in keys:
        fields.field(key, black_box.field_of(settings, key), settings[key], black_box.DEFAULTS[key])


def _more(title: str, settings: Settings, keys: tuple[str, ...]) -> None:
    count = sum(settings[key] != black_box.DEFAULTS[key] for key in keys)
    with st.expander(f"{title} · {count} changed" if count else title, key=f"more {title}"):
        _fields(settings, *keys)


def _reset() -> None:
    state.attempt(lambda: state.take(black_box.complete({})))


def _run_button(obstacle: str | None, key: str = "run", width: run_view.Width = "stretch") -> None:
    here = state.shown().settings[SERVICE] == OURS
    first = "; the teacher is trained first if needed." if here else "."
    run_view.run_button(_asked, obstacle, f"Start this run on this machine{first}", key, width)
    if obstacle and key == "run":
        st.warning(phrases.verbatim(obstacle))


def _asked() -> Spec:
    return spec(black_box.order_of(state.shown().settings))


# Show


def stage(settings: Settings, run: Run | None, demo: bool) -> None:
    """The run on show, or a recorded one whose source makes its images."""
    if demo:
        _invitation(settings, run)
    if run is not None:
        run_view.show(run, demo, _take, _first, _verdict)
        _microscope(run)
        if run.spec.wall:
            st.subheader("Cost frontier: accuracy and agreement against queries", anchor="frontier")
            with st.container(key="frontier"):  # where this run ended is among what it shows
                state.fragment(frontier)(run)
        st.subheader("More panels", anchor=False)
        run_view.panels(run, _others, "more panels")


def _verdict(run: Run) -> None:
    """What was learned, what it cost and what leaked, each sentence with the way to its panel."""
    if run.state != "done":
        return
    facts, record = facts_of(run_store.store(), run)
    with st.container(border=True, key="verdict"):
        for column, (part, heading) in zip(st.columns(len(PARTS)), PARTS.items(), strict=True):
            said = [f"- {one.text} [see](#{anchor(one.panel)})" for one in verdict(facts) if one.part == part]
            column.markdown("\n".join([f"**{heading}**", "", *said]))
        st.download_button(
            "Download this report (HTML)",
            report(run, facts, record, (st.context.url or "").partition("?")[0], run_view.allowed(run)),
            f"verdict-{run.id}.html",
            "text/html",
            icon=":material/download:",
        )


def _microscope(run: Run) -> None:
    """Any image under a lens, once the run has begun."""
    began = next((heard.event for heard in run_store.store().events(run.id, limit=1)), None)
    if isinstance(began, Started):
        st.subheader("Inversion microscope", anchor="microscope")
        st.caption(
            "For any image x′: the outputs of both networks, and the images the generator makes from these outputs."
        )
        state.fragment(lens)(run, began.classes)


def _invitation(settings: Settings, recorded: Run | None) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        said = f"{run_view.playing(recorded, _ordered(settings)[1])}\n\n" if recorded else ""
        st.markdown(
            f"{said}A large cloud model can only be queried, and every query costs money. A small student learns "
            "from it without sending its own images: a generator makes synthetic images, the teacher labels those, and "
            "the student learns from the outputs. Every query is counted."
        )
        _run_button(_ordered(settings)[2], "run here", "content")


def _first(names: list[str]) -> list[str]:
    """The panels that this page is about."""
    return [name for name in FIRST if name in names]


def _others(names: list[str]) -> list[str]:
    return [name for name in names if name not in FIRST]


def _take(run: Run) -> None:
    """A run's settings into the form, where the form can say them."""
    if not state.follow(run):
        raise BadInput(
            "This form cannot represent all settings of this run; open it in the Lab, or download its settings."
        )
    if run.spec.changes:
        state.complain(phrases.UNPLANNED)


state.arrive(state.BLACKBOX)
on_show, playing = run_view.opening(makes=True)
stage(state.shown().settings, on_show, playing)  # first: it waits for its run, and nobody for the form
with st.sidebar:
    ask(state.shown().settings, on_show)
state.save()
