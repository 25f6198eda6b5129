"""Runs and registered things as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.cli.progress import ending
from app.text.formulas import ORIGIN, plain, text
from app.text.phrases import ago, differences, heading, headings, money
from app.text.run_names import POINTS, drawn
from kdcore.contracts.method import ASKS, FAMILIES, LINEAGES
from kdcore.errors import BadInput
from kdcore.events import Meter, Started
from kdcore.jobs.leases import settle
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.bill import bill, dollars, outlays
from kdcore.runs.by_hand import by_hand
from kdcore.spec.catalogue import catalogue, entry
from kdcore.spec.lineage import recommended
from kdcore.terminal import say, warn

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 200  # columns where no terminal says how wide it is
TOLD = (
    "id", "state", "label", "hash", "teacher_run", "created_at", "started_at", "finished_at", "attempt", "step",
    "steps", "message", "pristine", "recorded", "result",
)  # fmt: skip
PARAGRAPHS = {
    "equation": "Equation",
    "paper": "Paper",
    **ORIGIN,
    "needs": "Requires from the teacher",
    "asks": "Also requires",
    "lineage": "Trains first",
    "fixed": "Fixed once training has begun",
    "file": "File",
}


def list_runs(as_json: bool) -> None:
    """Every run that was not deleted, newest first."""
    found = _settled().runs()
    if as_json:
        say(json.dumps([facts(run) for run in found]))
    elif not found:
        say("There are no runs yet; `kdlab run` makes one.")
    else:
        head = ("run", "state", "step", "student", "teacher", "made", "what")
        table(head, map(_row, found, headings(found)))


def show_run(run_id: str, as_json: bool) -> None:
    """One run whole.

    Raises:
        BadInput: there is none of that id.
    """
    store = _settled()
    run = store.get(run_id)
    changed = unusual(run)
    if as_json:
        counted = _meter(run)
        meter = counted.model_dump() | bill(run.spec, counted)._asdict() if counted else None
        more = {"meter": meter, "folder": str(run.folder), "traceback": run.traceback, "differences": changed}
        say(json.dumps(facts(run) | more | {"spec": run.spec.model_dump(mode="json")}, indent=1))
        return
    say(f"{heading(run)}\n{ending(run)}\n")
    table(("", ""), _summary(run))
    if asked := _asked(run):
        say()
        table(("the teacher was sent", ""), asked)
    if run.result:
        say()
        table(("on the test split", ""), ((name, f"{value:.4f}") for name, value in run.result.items()))
    say()
    if changed:
        rows = ((path, *(_cell(path, value) for value in values)) for path, values in changed.items())
        table(("setting", "recommended", "here"), rows)
    else:
        say("Every setting is as the data set recommends.")
    if run.traceback:
        say(f"\n{run.traceback}")


def _settled() -> Store:
    """The store, after a look for runs whose worker is gone; where that cannot be stored, it is said beside."""
    store = Store()
    try:
        settle(store)
    except BadInput as error:
        warn(error)
    return store


def list_kind(kind: str, as_json: bool) -> None:
    """Everything registered of one kind."""
    found = catalogue()[kind]
    if as_json:
        say(json.dumps([_plain(one) for one in found.values()]))
    else:
        table(("name", "title", "family", "what"), (_line(one) for one in found.values()))


def show_entry(kind: str, name: str, as_json: bool) -> None:
    """One registered thing with its knobs.

    Raises:
        BadInput: there is none of that name.
    """
    one = entry(kind, name)
    if as_json:
        say(json.dumps(_plain(one), indent=1))
        return
    family = FAMILIES.get(one["family"], one["family"])
    say(f"{one['title']} ({family})\n\n{text(one['doc'])}\n")
    told = {**one, **_equation(one), "asks": [ASKS[ask] for ask in one.get("asks", ())], "lineage": _before(one)}
    for key, words in PARAGRAPHS.items():
        if value := told.get(key):
            line = f"{words}: {value if isinstance(value, str) else ', '.join(value)}"
            say(f"{text(line) if key in ORIGIN else line}\n")
    knobs = one["schema"].get("properties", {})
    if knobs:
        table(("knob", "default", "allowed", "what"), (_knob(name, schema) for name, schema in knobs.items()))


def _equation(one: Mapping[str, Any]) -> dict[str, str]:
    """The equation of a method in plain Unicode, with the knobs that are symbols of it."""
    if "equation" not in one:
        return {}
    symbols = {name: knob["symbol"] for name, knob in one["schema"].get("properties", {}).items() if "symbol" in knob}
    where = ", ".join(f"{plain(symbol)} = {name}" for name, symbol in symbols.items())
    return {"equation": plain(one["equation"]) + (f"\nwith {where}" if where else "")}


def _plain(one: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the catalogue with its knobs as a list: name, type, default, bounds or options, description."""
    renamed = {"enum": "options", "title": "name"}
    knobs = [
        {renamed.get(key, key): value for key, value in {**schema, "title": name}.items()}
        for name, schema in one["schema"].get("properties", {}).items()
    ]
    return {key: value for key, value in one.items() if key != "schema"} | {"knobs": knobs}


def _before(one: Mapping[str, Any]) -> str:
    """The runs that come before one of this method; "" where there is one teacher or none."""
    return "" if one.get("lineage", "teacher") == "teacher" else LINEAGES[one["lineage"]]


def facts(run: Run) -> dict[str, Any]:
    """What a program may want to know of a run. Whose it is stays untold: the owner's name is a key."""
    return {name: getattr(run, name) for name in TOLD}


def unusual(run: Run) -> dict[str, list[Any]]:
    """Settings that differ from the data set's recommendation: path -> [recommended, here]."""
    return differences([recommended(run.spec.data.name, run.spec.method.name), run.spec])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns without a frame; on a terminal the last one wraps, elsewhere nothing does."""
    from rich.table import Table

    shown = Table(*head, box=None, pad_edge=False, show_header=any(head), header_style="bold")
    for column in shown.columns[:-1]:
        column.no_wrap = True
    for row in rows:
        shown.add_row(*row)
    _console().print(shown, markup=False)


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def _row(run: Run, name: str) -> tuple[str, ...]:
    result = run.result or {}
    student, teacher = (
        f"{result[name]:.3f}" if name in result else "" for name in ("student_accuracy", "teacher_accuracy")
    )
    state = run.standing
    return run.id, state, f"{run.step}/{run.steps}", student, teacher, ago(run.created_at), name


def _summary(run: Run) -> list[tuple[str, str]]:
    rows = [
        ("run", run.id),
        ("state", run.standing),
        ("steps", f"{run.step} of {run.steps}"),
        ("made", ago(run.created_at)),
        ("teacher's run", run.teacher_run or ""),
        ("folder", str(run.folder)),
        ("in the Lab", f"/?run={run.id}"),
    ]
    return [row for row in rows if row[1]]


def _meter(run: Run) -> Meter | None:
    """All that asking the teacher has taken so far; None where nobody counts."""
    told = ((event.step, getattr(event, "meter", None)) for event in Store().story(run.id))
    counted = outlays((step, meter) for step, meter in told if meter)
    return next(reversed(counted.values()), None)


def _asked(run: Run) -> list[tuple[str, str]]:
    """Images, those for measuring, and money; [] where nobody counts."""
    meter, wall = _meter(run), run.spec.wall
    if meter is None or wall is None:
        return []
    told = bill(run.spec, meter)
    rows = [
        ("images", f"{told.images:,}" + (f" of {wall.budget:,}" if wall.budget else "")),
        ("to learn from", f"{told.learning:,}"),
        ("for measuring alone", f"{told.measuring:,}"),
        ("local or held-out ones", "not counted" if told.real is None else f"{told.real:,}"),
        ("cost", f"{money(told.dollars)} ({money(wall.price)} per 1,000)"),
        ("sent without an answer", f"{meter.retried:,} more" if meter.retried else ""),
        ("asked by hand", _by_hand(run)),
    ]
    return [row for row in rows if row[1]]


def _by_hand(run: Run) -> str:
    """Images that a person sent from microscope or Inspector, with their own cost; "" where there are none."""
    began = next((event for event in Store().story(run.id) if isinstance(event, Started)), None)
    found = by_hand(run.folder, len(began.classes)) if began else None
    if not found or not found.images or not run.spec.wall:
        return ""
    return (
        f"{found.images:,} more images ({found.real:,} local or held-out ones), "
        f"{money(dollars(found.images, run.spec.wall.price))}"
    )


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    return one["name"], one["title"], one["family"], str(one["doc"]).split("\n\n")[0].replace("\n", " ")


def _knob(name: str, schema: Mapping[str, Any]) -> tuple[str, ...]:
    return name, _text(schema["default"]), allowed(schema), schema.get("description", "")


def allowed(schema: Mapping[str, Any]) -> str:
    """The values a knob takes, in short."""
    if "enum" in schema:
        return " ".join(map(str, schema["enum"]))
    signs = {"minimum": "≥ ", "exclusiveMinimum": "> ", "maximum": "≤ ", "exclusiveMaximum": "< "}
    bounds = [f"{sign}{_number(schema[name])}" for name, sign in signs.items() if name in schema]
    return ", ".join(bounds) or str(schema.get("type", ""))


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _cell(path: str, value: Any) -> str:
    return drawn(value) if value and path.endswith(POINTS) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
