"""Methods: what each one does, and its loss and gradient as its knobs are turned, without a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from app import state
from app.components import curve_figures, theme_sync
from app.components.chart import chart
from app.forms import choices, fields
from app.helpers import loss_curves
from app.links import lab
from app.links.lab import Settings
from app.results.method_results import standing
from app.results.papers import Row, place
from app.text import formulas, phrases
from app.text import methods as text
from kdcore.contracts.method import FAMILIES
from kdcore.errors import BadInput
from kdcore.explain.examples import CLASSES, KINDS, PRESETS, REACH, Example
from kdcore.spec.catalogue import ROOT, catalogue, entry

STYLE = """<style>
.st-key-list button { min-height: 1.75rem; padding: 0; justify-content: flex-start; text-align: left; }
.st-key-list { gap: .15rem; }
.katex { font-size: 1.05em; }
.katex-display { overflow-x: auto; overflow-y: hidden; padding-block: .2rem; }
.katex-display > .katex { font-size: 1.1em; }
@media (max-width: 480px) { .katex-display > .katex { font-size: 1em; } }
@media (min-width: 768px) { .st-key-narrow { display: none; } }
</style>"""
HEIGHT = 460


# Choose


def index(settings: Settings) -> None:
    """Every method that the teacher's grant allows, family by family."""
    fields.access(settings, text.ACCESS)
    granted = [name for name in choices.options("method") if choices.allowed(name, settings)]
    hidden = len(catalogue()["method"]) - len(granted)
    if hidden:
        st.caption(text.HIDDEN.format(hidden=hidden, all=len(catalogue()["method"])))
    with st.container(key="list"):
        for family, title in FAMILIES.items():
            names = [name for name in granted if entry("method", name)["family"] == family]
            if names:
                st.caption(f"**{title}**")
            for name in names:
                _entry(name, chosen=name == settings["method"])


def _entry(name: str, chosen: bool) -> None:
    title = entry("method", name)["title"]
    st.button(
        f"**{title}**" if chosen else title,
        key=f"choose {name}",
        type="tertiary",
        icon=":material/arrow_right:" if chosen else None,
        on_click=state.attempt,
        args=(partial(_choose, name),),
    )


def _choose(name: str) -> None:
    state.take(lab.choose(state.shown().settings, "method", name))


# One method


def show(settings: Settings, example: Example) -> None:
    """One method whole."""
    name = str(settings["method"])
    method = entry("method", name)
    first, _, more = formulas.markdown(method["doc"]).partition("\n\n")
    with st.container(key="narrow"):  # where the list is folded away
        choices.pick("method", "Method", settings)
    st.header(method["title"], anchor=False)
    st.markdown(first)
    st.caption(_facts(method, settings))
    _ways(name, settings)
    st.latex(method["equation"])
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(more)
        fields.fields(settings, [key for key in settings if key.startswith("method.")])
    with right:
        _example(name, method, settings, example)
    st.markdown(formulas.origin(method))
    standing(name)
    state.fragment(_source)(method["file"])


def _facts(method: dict[str, Any], settings: Settings) -> str:
    """Family, paper, what it needs of the teacher and what it asks for besides."""
    needs = " and ".join(method["needs"])
    said = [
        f"{FAMILIES[method['family']]} · {method['paper']}.",
        f"Requires the teacher's {needs}." if needs else "Requires no teacher.",
        phrases.demands(method, lab.below(settings, "method")),
        "" if choices.allowed(method["name"], settings) else text.NOT_AVAILABLE,
    ]
    return " ".join(filter(None, said))


def _ways(name: str, settings: Settings) -> None:
    """On to the Lab and to the Library."""
    changed = lab.changed(settings)
    kept = {key: lab.encode(value) for key, value in changed.items() if key.partition(".")[0] in ("method", "access")}
    row = place(name)
    with st.container(horizontal=True):
        st.page_link(
            "views/lab.py",
            label=text.IN_LAB,
            icon=":material/science:",
            query_params={"method": name} | kept,
        )
        if row:
            st.page_link(
                "views/library.py",
                label=text.IN_LIBRARY,
                icon=":material/menu_book:",
                query_params={"q": row.title if isinstance(row, Row) else row.paper},
            )


def _source(file: str) -> None:
    """A method's source; only once it is unfolded, as what colours it is 1.5 MB for the browser to run."""
    with st.expander(f"Source code: {file}", icon=":material/code:", key="source", on_change="rerun") as fold:
        if fold.open:
            st.code((ROOT.parent / file).read_text(encoding="utf-8"), language="python", wrap_lines=True)


# The example


def _example(name: str, method: dict[str, Any], settings: Settings, example: Example) -> None:
    """The chosen example with what can be changed of it, and its picture."""
    known = loss_curves.kinds(method)
    if len(known) > 1:
        _choice("kind", "Example", known, KINDS.__getitem__, example.kind)
    example = example if example.kind in known else example.model_copy(update={"kind": known[0]})
    found = _computed(name, settings, example)
    other = found["other"] if found else None
    if found:
        _picture(found, other, example)
    if example.kind != "features":
        _labels(example)
    if example.kind == "two" and other:
        _slider("gap", f"{other.capitalize()}'s logit of A minus its logit of B", example.gap, -REACH, REACH, 0.25)
    if example.kind == "five":
        _states_of_mind(example, other)
    _slider("progress", text.PROGRESS, example.progress, 0.0, 1.0, 0.05)


def _computed(name: str, settings: Settings, example: Example) -> dict[str, Any] | None:
    """The curves, or one sentence on why there are none."""
    try:
        with st.spinner(text.COMPUTING, show_time=False):
            return loss_curves.curves(name, lab.below(settings, "method"), example)
    except BadInput as error:
        st.info(phrases.verbatim(error))
        return None


def _picture(found: dict[str, Any], other: str | None, example: Example) -> None:
    """The curves drawn, and how to read them."""
    look = state.view().theme
    figures = {
        "two": lambda: curve_figures.two(found, example, look, other),
        "five": lambda: curve_figures.five(found, example, look, other),
        "features": lambda: curve_figures.features(found, look),
    }
    chart(figures[example.kind](), look, height=HEIGHT, key="curves")
    theme_sync.follow(look)
    said = [text.CAPTIONS[example.kind]]
    if example.kind != "features" and found["rows"] > 1:
        said.append(text.IN_BATCH)
    if example.kind != "features" and found["remembers"] and other == "teacher":
        said.append(text.MEMORY)
    st.caption(" ".join(said))
    notes = [f"{fields.label(key).lower()} {value:.3g}" for key, value in found.get("notes", {}).items()]
    if "temperature" in found:
        notes.append(f"temperature {found['temperature']:.3g}")
    if notes:
        st.caption(f"Diagnostics: {', '.join(notes)}.")


def _labels(example: Example) -> None:
    count = 2 if example.kind == "two" else 5
    _choice("label", "True class", range(count), CLASSES.__getitem__, min(example.label, count - 1))


def _states_of_mind(example: Example, other: str | None) -> None:
    """Presets of logits, and each of them to be moved."""
    sides = {"teacher": other, "student": "student"} if other else {"student": "student"}
    for side, who in sides.items():
        own = getattr(example, side)
        fitting = next((place for place, preset in enumerate(PRESETS) if preset.logits == own), None)
        st.pills(
            f"The {who} is",
            range(len(PRESETS)),
            format_func=lambda place: PRESETS[place].title,
            key=state.widget(f"example.{side}", fitting),
            on_change=state.changed,
            args=(f"example.{side}", partial(_preset, own)),
        )
    with st.expander(text.LOGITS, icon=":material/tune:", key="logits"):
        for (side, who), column in zip(sides.items(), st.columns(len(sides)), strict=True):
            with column:
                for place, value in enumerate(getattr(example, side)):
                    _slider(f"{side}.{place}", f"{str(who).capitalize()}'s {CLASSES[place]}", value, -12.0, 12.0, 0.5)


def _preset(own: tuple[float, ...], place: int | None) -> list[float]:
    return list(own if place is None else PRESETS[place].logits)


def _choice(name: str, label: str, options: Any, named: Any, value: Any) -> None:
    key = f"example.{name}" if name != "kind" else lab.EXAMPLE
    st.segmented_control(
        label,
        list(options),
        format_func=named,
        required=True,
        key=state.widget(key, value),
        on_change=state.changed,
        args=(key, type(value)),
    )


def _slider(name: str, label: str, value: float, low: float, high: float, step: float) -> None:
    key = f"example.{name}"
    st.slider(
        label, low, high, step=step, key=state.widget(key, value), on_change=state.changed, args=(key, fields.tidy)
    )


state.arrive(state.METHODS)
st.html(STYLE)
for complaint in state.complaints():
    st.warning(phrases.verbatim(complaint))
with st.sidebar:
    index(state.shown().settings)
show(state.shown().settings, state.shown().example)
state.save()
