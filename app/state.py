"""The only user of session state and of the URL.

The URL is the state: it is read when somebody opens a link or walks back to one, and written after each change. In
between the session holds the same `Link`; widgets show its values and change it through callbacks, so what is on
show can be replaced as a whole (another link, a fork, a reset) and no widget is asked what it thought before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from types import ModuleType
from typing import Any, NamedTuple

import streamlit as st
from pydantic import ValidationError

from app import run_store
from app.links import black_box, inspector, lab
from app.links.lab import Link, Settings
from app.live import ownership
from app.live.tokens import COOKIE, VIEWER, new_viewer
from app.panels import View
from app.text.phrases import verbatim
from app.theme import Theme
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.spec.schedule import Json

LAB, METHODS, BLACKBOX, INSPECTOR = "lab", "methods", "blackbox", "inspector"
LINKED = {
    LAB: lab,
    METHODS: lab,
    BLACKBOX: black_box,
    INSPECTOR: inspector,
}  # pages whose URL is a whole link, and who reads it
FORMS = (LAB, BLACKBOX)  # pages whose form asks for a run
COMPARED = "compare"
_state = st.session_state


def viewer() -> str:
    """Who looks: the browser's own name, or the session's where no server gave it one."""
    named = str(st.context.cookies.get(COOKIE))
    return named if VIEWER.fullmatch(named) else str(_state.setdefault("viewer", new_viewer()))


def owners() -> frozenset[str]:
    """Return the owners of runs that the viewer may change."""
    return ownership.owners(viewer(), st.context.headers)


def owns(run: Run) -> bool:
    """Whether the viewer may change a run."""
    return run.owner in owners()


# The link that the page shows


def _held(name: str) -> str:
    """Return the session's name of something that the page of now keeps for itself."""
    return f"{name} of {_state['page']}"


def codec() -> ModuleType:
    """Return what reads, writes and changes the links of the page of now."""
    return LINKED[_state["page"]]


def arrive(page: str) -> None:
    """Begin a page. One with a link takes the URL's word when somebody opened it or walked back to it."""
    came = _state.get("page") != page
    _state["page"], _state["stale"] = page, False
    _state["broken off"], _state["whole"] = not _state.get("whole", True), False
    if page not in LINKED:
        return
    if came:  # a widget of another page holds its name, but not its value
        for name in [name for name in _state if str(name).startswith("form ")]:
            del _state[name]
    query = st.query_params.to_dict()
    touched = _state.pop("touched", False)
    returns = came and not query and _held("link") in _state
    if _held("link") not in _state or (not touched and not returns and query != _state.get(_held("known"))):
        _drafts().clear()
        found, _state["complaints"] = codec().read(query)
        _state[_held("link")] = found if _says(query) else _following(found)
    _state[_held("known")] = query  # at once: a click may break this run off before it ends


def _says(query: Mapping[str, str]) -> bool:
    """Whether a query says something of the form, rather than only which run is on show and how."""
    return bool(query.keys() - {"run", *codec().VIEW})


def _following(found: Link) -> Link:
    """Return the link with the settings of its run in the form, where the page has a form for runs."""
    if _state["page"] not in FORMS or found.run is None:
        return found
    with suppress(BadInput):  # a run that cannot be shown is told of where it would be
        run = run_store.find(found.run)
        settings = codec().of_run(run.spec) if run else None
        return found._replace(settings=settings or found.settings)
    return found


def follow(run: Run) -> bool:
    """Put the settings of a run into the form; whether the form can say them."""
    settings = codec().of_run(run.spec)
    if settings is not None:
        take(settings)
    return settings is not None


def follows(run: Run) -> bool:
    """Whether the form holds the settings of a run."""
    return bool(shown().settings == codec().of_run(run.spec))


def shown() -> Link:
    """Return what the page shows now."""
    found: Link = _state[_held("link")]
    return found


def _show(changed: Link) -> None:
    _state[_held("link")], _state["stale"] = changed, True


def save() -> None:
    """End a page: make the URL say what is shown."""
    _state["whole"], _state["stale"] = True, False
    try:
        query = codec().write(shown())
    except BadInput as error:
        st.error(verbatim(error))
        query = {"run": shown().run} if shown().run else {}
    if shown().run and _state["page"] in FORMS:
        query = _beside_run(query, _following(shown()).settings == shown().settings)
    if query != st.query_params.to_dict():
        st.query_params.from_dict(query)
    _state[_held("known")] = query


def _beside_run(query: dict[str, str], followed: bool) -> dict[str, str]:
    """Return the query of a page with a run on show: one that came without settings keeps so while the form is the
    run's, and one with the run's settings undone says so, or whoever opens it would get the run's.
    """
    if followed and not _says(st.query_params.to_dict()):
        return {key: text for key, text in query.items() if not _says({key: text})}
    undone = not followed and not _says(query)
    return query | ({"data": str(shown().settings["data"])} if undone else {})


def complaints() -> list[str]:
    """Sentences about what went wrong, until the next thing somebody does."""
    found: list[str] = _state.setdefault("complaints", [])
    return found


def complain(sentence: str) -> None:
    """Say on the page what went wrong."""
    complaints().append(sentence)
    _state["stale"] = True


def touch() -> None:
    """Begin to answer a person: what they did counts more than the URL, which may be a moment old."""
    _state["touched"] = _state["stale"] = True
    _state["complaints"] = []


def attempt(act: Callable[[], Any]) -> Any:
    """Do something a person asked for; what hinders it becomes a sentence on the page."""
    touch()
    try:
        return act()
    except BadInput as error:
        complain(str(error))
        return None


def fragment(
    body: Callable[..., None], run_every: float | None = None, outdated: Callable[..., bool] | None = None
) -> Callable[..., None]:
    """Make a fragment whose clicks reach the whole page; pages use no other.

    A click reruns the fragment alone. Where its callback changed what the rest of the page shows, that is the link, the
    complaints or what the page remembers, the page is drawn anew instead.

    Args:
        body: draws the fragment.
        run_every: seconds between two reruns by itself.
        outdated: whether what the page was drawn from has changed, asked with the arguments of `body` when the fragment
            reruns; not while the page is drawn, or one that is quick to change would be drawn twice.
    """
    drawn = False

    @wraps(body)
    def run(*args: Any) -> None:
        nonlocal drawn
        if drawn and (_state.get("stale") or (outdated and outdated(*args))):
            st.rerun()
        drawn = True
        body(*args)

    return st.fragment(run, run_every=run_every)


def show(run_id: str | None) -> None:
    """Put a run on show, from its newest frame."""
    view = shown().view.model_copy(update={"at": None})
    _show(shown()._replace(run=run_id, view=view))


def inspect(run_id: str) -> None:
    """Open a run in the Inspector, beside its own teacher and with nothing selected."""
    _show(inspector.beside_its_teacher(shown(), run_id))


def compare(case_id: str) -> None:
    """Put another comparison on show; what was selected in the one before means nothing here."""
    touch()
    _show(shown()._replace(run=case_id, view=View(temperature=shown().view.temperature)))


def take(settings: Settings) -> None:
    """Replace every setting of the form."""
    _drafts().clear()
    _show(shown()._replace(settings=settings))


def heard(key: str) -> None:
    """Take over how somebody looks at the run now, as a live component reports it."""
    _state["touched"] = True
    change: Mapping[str, Any] = component(key, "view") or {}
    known = {name: value for name, value in change.items() if name in codec().VIEW}
    try:
        view = View.model_validate(shown().view.model_dump() | known)
    except ValidationError:
        return  # a browser that talks nonsense changes nothing
    _show(shown()._replace(view=view))


def theme() -> Theme:
    """Return the theme of the browser."""
    return "dark" if st.context.theme.type == "dark" else "light"


def view() -> View:
    """How somebody looks at the run, in the theme of their browser."""
    return shown().view.model_copy(update={"theme": theme()})


def pin(sample: int) -> None:
    """Pin a row of the probe set, as a click on it in a panel does."""
    look(sample=sample)


def look(**change: Any) -> None:
    """Change how the run or the case on show is looked at, in every panel."""
    touch()
    _show(shown()._replace(view=shown().view.model_copy(update=change)))


# Widgets of the form


class Draft(NamedTuple):
    """What somebody typed that is no value of its setting, which keeps the value it had."""

    typed: Any
    says: str  # why it is none
    value: Json  # of the setting meanwhile


def _drafts() -> dict[str, Draft]:
    """By setting, on the page of now."""
    found: dict[str, Draft] = _state.setdefault(_held("drafts"), {})
    return found


def draft(key: str) -> Draft | None:
    """Return what was typed for a setting and could not be taken; None once the setting is gone or has another
    value.
    """
    found = _drafts().get(key)
    return found if found and shown().settings.get(key) == found.value else None


def unread() -> list[str]:
    """Sentences on what was typed and could not be taken, so that the form shows other settings than it holds."""
    return [found.says for key in _drafts() if (found := draft(key))]


def widget(key: str, value: Any) -> str:
    """Return the session's name of a setting's widget, after making the widget show `value`, or what was typed in its
    place.

    Where a click broke off the last run of the page, the browser may never have heard the value, so it is told again.
    """
    name, typed = f"form {key}", draft(key)
    value = typed.typed if typed else value
    if name not in _state or _state[name] != value or _state["broken off"]:
        _state[name] = value
    return name


def put(key: str, value: Json) -> None:
    """Change one setting, and what goes with it."""
    _show(codec().put(shown(), key, value))


def changed(key: str, parse: Callable[[Any], Json]) -> None:
    """Give a setting the value that its widget shows."""
    propose(key, _state[f"form {key}"], parse)


def propose(key: str, typed: Any, parse: Callable[[Any], Json]) -> None:
    """Make a setting what somebody typed; where that is no value of it, it stays in the form with a sentence."""
    touch()
    _drafts().pop(key, None)
    try:
        put(key, parse(typed))
    except BadInput as error:
        if key not in shown().settings:  # no field stands for it that could keep what was typed
            complain(str(error))
            return
        _drafts()[key] = Draft(typed, str(error), shown().settings[key])


def picked(key: str, options: Sequence[str]) -> None:
    """Give a setting the option that was picked from its list.

    Where the labels of options change, a browser still answers with the old label of the one it holds, and Streamlit
    calls that a new value: it is no option, nobody picked it, and the list shows the setting again.
    """
    if _state[f"form {key}"] in options:
        changed(key, str)


# The Runs page


def hold_ticks(table: str, ids: list[str]) -> None:
    """Keep the ticks of a table on their runs, though other runs came or went; at first the URL says which."""
    held = ticks(table) if f"{table} ids" in _state else st.query_params.get(COMPARED, "").split(",")
    if _state.get(f"{table} ids") != ids:
        rows = [index for index, run_id in enumerate(ids) if run_id in held]
        _state[table] = {"selection": {"rows": rows, "columns": [], "cells": []}}
        _state[f"{table} ids"] = ids


def ticks(table: str) -> list[str]:
    """Ids of the ticked rows; the URL follows them."""
    ids = _state[f"{table} ids"]
    rows = _state[table]["selection"]["rows"] if table in _state else []
    ticked = [ids[row] for row in rows if row < len(ids)]
    if ticked:
        st.query_params[COMPARED] = ",".join(ticked)
    elif COMPARED in st.query_params:
        del st.query_params[COMPARED]
    return ticked


def tick_too(table: str, other: str) -> None:
    """Tick the same rows in another table of the same runs."""
    _state[other] = {"selection": dict(_state[table]["selection"])}


def recall(name: str, default: Any) -> Any:
    """Something a page remembers for as long as the session lives."""
    return _state.setdefault(f"kept {name}", default)


def remember(name: str, value: Any, *, local: bool = False) -> None:
    """Remember it.

    Args:
        name: what it is called.
        value: what it is.
        local: whether only the fragment that remembers it shows it, so that the rest of the page need not be redrawn.
    """
    _state["stale"] = _state.get("stale", False) or not local
    _state[f"kept {name}"] = value


def component(key: str, name: str | None = None) -> Any:
    """Return what the widget or component of that key holds, or one of its values."""
    held = _state.get(key)
    return held if name is None or held is None else held.get(name)
