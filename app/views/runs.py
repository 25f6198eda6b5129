"""Runs: find them, lay them over each other, see in what they differ."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import run_store, state, theme
from app.components import theme_sync
from app.forms import fields
from app.text import phrases, run_names
from kdcore.events import Evaluated, Step
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE

TABLE = "table of runs"
NARROW = "narrow table of runs"  # the same runs for a small screen; the stylesheet shows one of the two
STYLE = """<style>
.st-key-runs-narrow { display: none; }
@media (max-width: 640px) { .st-key-runs-wide { display: none; } .st-key-runs-narrow { display: flex; } }
</style>"""
LINES = 112  # pixels of a row that holds a title in five lines
RECORD = "record from elsewhere"
SHOWN = 500  # rows of the table; search finds the others
ABREAST = 8  # runs that can be told apart in one chart


def sought(runs: list[Run], text: str, mine: bool) -> list[Run]:
    """The runs that hold every word of the search; a number is looked for as a whole."""
    tokens = text.lower().split()
    return [run for run in runs if (not mine or state.owns(run)) and all(_holds(run, token) for token in tokens)]


def _holds(run: Run, token: str) -> bool:
    """Whether a word stands in what the table may say of a run."""
    text = f"{run.id} {run.label} {run.standing} {phrases.heading(run)} seed {run.spec.seed}".lower()
    return token in (text.split() if token.isdigit() else text)


def row(run: Run, name: str) -> dict[str, Any]:
    """What the table says of a run."""
    result = run.result or {}
    return {
        "run": name,
        "open": f"./?run={run.id}",
        "state": run.standing,
        "done": 100 * run.step / max(run.steps, 1),
        "student": _percentage(result.get("student_accuracy")),
        "teacher": _percentage(result.get("teacher_accuracy")),
        "agreement": _percentage(result.get("agreement")),
        "seed": run.spec.seed,
        "started": phrases.ago(run.created_at),
        "whose": "recorded" if run.recorded else "mine" if state.owns(run) else "another user",
        "id": run.id,
    }


def _percentage(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


PERCENT = "%.1f %%"  # as `words.percent` writes it
COLUMNS = {
    "done": st.column_config.ProgressColumn("done", format=PERCENT, min_value=0, max_value=100),
    "student": st.column_config.NumberColumn("student, test", format=PERCENT),
    "teacher": st.column_config.NumberColumn("teacher, test", format=PERCENT),
    "agreement": st.column_config.NumberColumn("agreement", format=PERCENT),
    "open": st.column_config.LinkColumn("open", display_text="open"),
}


SMALL = {
    "run": st.column_config.TextColumn("run", width=180),
    "student": st.column_config.NumberColumn("student", format=PERCENT, width=75, help="Accuracy on the test split"),
    "open": st.column_config.LinkColumn("open", display_text="open", width=60),
}


def table(runs: list[Run]) -> list[Run]:
    """The runs as a table, with few columns where the screen is small; those that are ticked."""
    rows = [row(*named) for named in zip(runs, phrases.headings(runs), strict=True)]
    ids = [run.id for run in runs]
    st.html(STYLE)
    with st.container(key="runs-wide"):
        _grid(TABLE, NARROW, ids, rows, COLUMNS)
    with st.container(key="runs-narrow"):
        small = [
            {"run": f"{one['run']} · {one['state']}"} | {name: one[name] for name in ("student", "open")}
            for one in rows
        ]
        _grid(NARROW, TABLE, ids, small, SMALL, row_height=LINES)
    ticked = state.ticks(TABLE)
    return [run for run in runs if run.id in ticked]


def _grid(
    key: str,
    other: str,
    ids: list[str],
    rows: list[dict[str, Any]],
    columns: dict[str, Any],
    row_height: int | None = None,
) -> None:
    """One of the two tables; what is ticked in it is ticked in the other too."""
    state.hold_ticks(key, ids)
    st.dataframe(
        pd.DataFrame(rows),
        column_config=columns,
        hide_index=True,
        key=key,
        on_select=partial(state.tick_too, key, other),
        selection_mode="multi-row",
        placeholder="–",
        row_height=row_height,
        alt="Table of runs; tick rows to compare them",
    )


def incomparable(runs: list[Run]) -> str | None:
    """Why laying these runs over each other would mean nothing, or None."""
    data = {run.spec.data.name: phrases.named("data", run.spec.data) for run in runs}
    if len(data) > 1:
        return (
            f"These runs are on different data ({', '.join(sorted(data.values()))}), so their accuracies and losses "
            "are not comparable; select runs on one data set to overlay them."
        )
    if len(runs) > ABREAST:
        return f"More than {ABREAST} curves are hard to distinguish; select fewer runs."
    return None


def caveats(runs: list[Run]) -> list[str]:
    """What to keep in mind when comparing these runs."""
    said = []
    if len({str(run.spec.data.knobs) for run in runs}) > 1:
        said.append("The data differ in their settings, so the validation images may not be the same.")
    if len({run.spec.method.name for run in runs}) > 1:
        said.append("Losses of different methods have different scales; compare their shape, not their level.")
    return said


def curves(runs: list[Run]) -> pd.DataFrame:
    """Validation accuracy and loss over steps, one row a point."""
    points = []
    for run, heading in zip(runs, phrases.headings(runs), strict=True):
        name = f"{run.id[:4]} · {heading}"  # first, as a legend cuts long names
        for event in run_store.store().story(run.id):
            if isinstance(event, Evaluated) and event.split == "val":
                points.append((name, event.step, "accuracy", event.student.accuracy))
            elif isinstance(event, Step):
                points.append((name, event.step, "loss", event.loss))
    return pd.DataFrame(points, columns=["run", "step", "what", "value"])


def chart(points: pd.DataFrame, what: str, title: str, number: str) -> None:
    """One measure of all runs over steps."""
    names = list(dict.fromkeys(points["run"]))
    colour = {
        "field": "run",
        "type": "nominal",
        "title": None,
        "scale": {"domain": names, "range": theme.classes(len(names), state.theme())},
    }
    st.markdown(f"**{title}**")
    st.vega_lite_chart(
        points[points["what"] == what],
        {
            "mark": {"type": "line", "point": what == "accuracy", "tooltip": True},
            "encoding": {
                "x": {"field": "step", "type": "quantitative", "title": "optimiser step"},
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": None,
                    "scale": {"zero": False},
                    "axis": {"format": number},
                },
                "color": colour | {"legend": {"orient": "bottom", "columns": 1, "labelLimit": {"expr": "width - 40"}}},
                "strokeDash": {"field": "run", "type": "nominal", "legend": None},
            },
            "config": {"axis": {"labelFontSize": 14, "titleFontSize": 14}, "legend": {"labelFontSize": 14}},
        },
        height=360,
        key=f"chart of {what}",
        alt=title,
    )


def compare(runs: list[Run]) -> None:
    """Several runs over each other, and the settings in which they differ."""
    st.subheader("Compared", anchor=False)
    reason = incomparable(runs)
    if reason:
        st.warning(phrases.verbatim(reason))
    else:
        for caveat in caveats(runs):
            st.info(caveat)
        points = curves(runs)
        for column, (what, title, number) in zip(
            st.columns(2),
            (("accuracy", "Accuracy of the student on validation data", ".0%"), ("loss", "Training loss", "~g")),
            strict=True,
        ):
            with column:
                chart(points, what, title, number)
    difference(runs)


def difference(runs: list[Run]) -> None:
    """The settings that differ, and no other."""
    found = phrases.differences([run.spec for run in runs])
    st.markdown("**Settings that differ**")
    if not found:
        st.markdown("None: these runs have the same settings.")
        return
    heads = [f"{run.id[:4]} · {phrases.named('method', run.spec.method)}" for run in runs]
    changed = found.pop("changes", None)
    told = [[path, *(_cell(path, value) for value in values)] for path, values in found.items()]
    if changed:
        told.append(["changed during training", *(value or "—" for value in changed)])
    st.table(pd.DataFrame(told, columns=["setting", *heads]), hide_index=True, alt="Settings that differ")


def _cell(path: str, value: object) -> str:
    if isinstance(value, list) and path.endswith(run_names.POINTS):
        return run_names.drawn(value)
    return fields.shorten("—" if value is None else str(value))


def actions(runs: list[Run]) -> None:
    """What can be done with the ticked runs."""
    own = [run for run in runs if state.owns(run) and run.state not in ACTIVE]
    with st.container(horizontal=True):
        for run in runs[:ABREAST]:
            st.page_link(
                "views/lab.py",
                label=f"Open {run.id[:4]}",
                icon=":material/open_in_new:",
                query_params={"run": run.id},
            )
        if own:
            st.button(
                f"Delete {len(own)} of mine" if len(own) < len(runs) or len(own) > 1 else "Delete",
                icon=":material/delete:",
                on_click=state.attempt,
                args=(partial(delete, [run.id for run in own]),),
            )


def delete(ids: list[str]) -> None:
    """Put runs away; `undo` offers to bring them back."""
    for run_id in ids:
        run_store.store().delete(run_id, state.owners())
    state.remember("deleted", ids)


def restore(ids: list[str]) -> None:
    """Bring deleted runs back."""
    for run_id in ids:
        run_store.store().restore(run_id, state.owners())
    state.remember("deleted", [])


def undo() -> None:
    """The way back, right after deleting."""
    gone = state.recall("deleted", [])
    if gone:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("The run was deleted." if len(gone) == 1 else f"{len(gone)} runs were deleted.")
            st.button("Undo", icon=":material/undo:", on_click=state.attempt, args=(partial(restore, gone),))


def body() -> None:
    """Table and comparison; runs again by itself while something is going on."""
    for sentence in state.complaints():
        st.error(phrases.verbatim(sentence))
    undo()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search", type="search", key="q", bind="query-params", placeholder="method, data, model, state …"
        )
        mine = st.toggle("Only mine", key="mine", bind="query-params")
        deleted = st.toggle(
            "Deleted", key="deleted", bind="query-params", help="Deleted runs; you can restore your own."
        )
    runs = sought(run_store.store().runs(deleted=deleted), text or "", mine)
    if not runs:
        st.info("No runs yet. Start one in the Lab." if not text and not mine else "No run matches.")
        return
    if deleted:
        bring_back(runs)
        return
    picked = table(runs[:SHOWN])
    if picked:
        actions(picked)
    if len(picked) > 1:
        compare(picked)
    elif not picked:
        st.caption("Select one run to open or delete it, several to compare them.")


def bring_back(runs: list[Run]) -> None:
    """Deleted runs; one's own can be restored."""
    for run in runs[:50]:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{phrases.verbatim(phrases.heading(run))} · `{run.id}`")
            if state.owns(run):
                st.button(
                    "Restore", key=f"restore {run.id}", on_click=state.attempt, args=(partial(restore, [run.id]),)
                )


def bring_in() -> None:
    """A way in for what was recorded elsewhere."""
    with st.expander("Import a recorded run"):
        st.caption("Upload a zip of the folder written by `kdlab export`. The run is shown as recorded.")
        st.file_uploader("Record (zip)", type=["zip"], key=RECORD, on_change=state.attempt, args=(take,))
    if brought := state.recall("brought", ""):
        st.success(f"Imported run `{brought}`.")
        st.page_link("views/lab.py", label="Open it", icon=":material/open_in_new:", query_params={"run": brought})


def take() -> None:
    """Keep the record that was uploaded."""
    state.remember("brought", "")
    if file := st.session_state[RECORD]:
        state.remember("brought", run_store.store().take(file, state.viewer()).id)


state.arrive("runs")
st.header("Runs", anchor=False)
going_on = bool(run_store.store().runs(states=ACTIVE))
state.fragment(body, run_every=2.0 if going_on else None)()
bring_in()
theme_sync.follow(state.theme())
