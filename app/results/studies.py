"""Studies as people read them: what came out, as a small JSON file and as tables."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from app.paths import ASSETS
from kdcore.atomic import write_text
from kdcore.errors import BadInput
from kdcore.spec.catalogue import entry
from kdcore.study.study import (
    LEVEL,
    METRICS,
    Cell,
    Row,
    Study,
    Verdict,
    cells,
    level_of_tasks,
    priced,
    strict,
    verdicts,
)

FOLDER = ASSETS / "studies"
COLUMNS = (
    "task",
    "method",
    "seed",
    "budget",
    "spec",
    "commit",
    "steps",
    "step_s",
    *METRICS,
    "teacher_accuracy",
    "notes",
    "error",
)
BUDGETS = {"steps": "the same number of steps", "time": "the same time as {reference}"}


class PublishedStudy(NamedTuple):
    """A study with its results."""

    study: Study
    date: str  # when the tables were written, as YYYY-MM-DD
    machine: str
    rows: list[Row]


def publish(path: Path, study: Study, rows: Sequence[Row]) -> list[Path]:
    """Write the results beside the study's YAML file: `.json` for programs, `.md` for people; the files written.

    Images that were counted are priced. Results that stand there already keep their date and machine.
    """
    file = path.with_suffix(".json")
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = ",\n".join(json.dumps([_short(row.get(column)) for column in COLUMNS]) for row in priced(study, rows))
    rest = f"\n{lines}\n]}}\n"
    made = (date.today().isoformat(), _machine())
    day, machine = parse(before)[1:3] if before.endswith(rest) else made
    head = {"date": day, "machine": machine, "study": study.model_dump(mode="json")}
    text = json.dumps(head)[:-1] + f', "columns": {json.dumps(COLUMNS)}, "rows": [{rest}'
    files = {file: text, path.with_suffix(".md"): markdown(parse(text))}
    for file, content in files.items():
        write_text(file, content)
    return list(files)


def _short(value: Any) -> Any:
    """Six digits are more than any of these figures is worth."""
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def published(name: str, folder: Path = FOLDER) -> PublishedStudy:
    """Return the results of a study by its name.

    Raises:
        BadInput: there are none, or they are damaged.
    """
    try:
        return parse((folder / f"{name}.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"There are no results of a study {name!r}; run `kdlab study` on its file.") from error


def parse(text: str) -> PublishedStudy:
    """Return the results in the text of their file.

    Raises:
        BadInput: they are damaged.
    """
    try:
        told = json.loads(text)
        rows = [
            {column: value for column, value in zip(told["columns"], row, strict=True) if value is not None}
            for row in told["rows"]
        ]
        return PublishedStudy(Study.model_validate(told["study"]), told["date"], told["machine"], rows)
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("The results of this study are damaged; run `kdlab study` on its file.") from error


def markdown(found: PublishedStudy) -> str:
    """All tables of a study."""
    study = found.study
    parts = [
        f"# Study: {study.name}",
        study.says,
        f"{found.date}, {commits(found)}, {found.machine}. {extent(found)}. Intervals "
        f"are {LEVEL:.0%} of Student's t over the seeds. Made by `kdlab study`; run it again to go on or to redo it.",
    ]
    for budget in study.budgets:
        told = [verdict for verdict in verdicts(study, found.rows) if verdict.budget == budget]
        table = _table(VERDICT, (_verdict(verdict) for verdict in told))
        parts += [f"## All tasks, {_told(budget, study)}", table, reading(told)]
    for task in study.tasks:
        parts += [f"## {task.name}", task.says]
        for budget in study.budgets:
            own = [cell for cell in cells(study, found.rows) if (cell.task, cell.budget) == (task.name, budget)]
            ranked = sorted(own, key=lambda cell: -cell.mean.get("accuracy", -1.0))
            parts += [
                f"### {task.name}, {_told(budget, study)}",
                _table((*CELL, *study.notes), (_cell(cell, study.notes) for cell in ranked)),
            ]
    return "\n\n".join(parts) + "\n"


VERDICT = ("method", "better", "worse", "p", "tasks won", "gain, points")
CELL = ("method", "test accuracy, %", "agreement, %", "ECE, %", "NLL", "step cost", "steps")


def _told(budget: str, study: Study) -> str:
    return BUDGETS[budget].format(reference=study.reference)


def reading(told: Sequence[Verdict]) -> str:
    """Return what p is about beside so many comparisons, and what the tasks won are about."""
    tasks = max((verdict.tasks for verdict in told), default=0)
    reach = f", and even {tasks} of {tasks} have p = {level_of_tasks(tasks):.2g}" if tasks > 1 else ""
    return (
        "p is that of a two-sided sign test over pairs of equal task and seed, in which a student that several tasks "
        "share counts once. It is about these tasks, with their teachers and test rows, which all seeds of a task "
        f"share; it says nothing of other tasks. Below {strict(len(told)):.2g}, which is {strict(1):.2g} divided by "
        "the number of comparisons, a method differs significantly from the reference on these. What to expect of "
        "other tasks rests on the tasks won alone, those with the higher mean over the seeds"
        f"{reach}. {unequal([verdict.method for verdict in told])}"
    )


def unequal(methods: Sequence[str]) -> str:
    """How far these methods can be compared at all, as long as their step sizes are not made equal."""
    shares = {name: rate for name in methods if (rate := _rate(name)) != 1}
    slower = ", ".join(f"{name} {rate:g}" for name, rate in shares.items())
    return (
        "All arms train with their published loss weights and one learning rate"
        f"{f' (a share of it: {slower})' if slower else ''}, so a larger loss takes larger steps, and part of each "
        "gain is the size of the loss rather than the method. With an erring teacher plain KD reaches 45.9 % and SLD "
        "86.0 %, but plain KD with kd_weight=9 reaches 86.3 ± 2.5 % beside SLD's 86.1 ± 2.7 % (seeds 2 to 4)."
    )


def _rate(method: str) -> float:
    """Return the share of the learning rate at which a method trains; 1 for a variant with a name of its own."""
    try:
        return float(entry("method", method)["rate"])
    except BadInput:
        return 1.0


def _verdict(verdict: Verdict) -> tuple[str, ...]:
    gain = f"{100 * verdict.gain:+.2f}"
    return verdict.method, str(verdict.wins), str(verdict.losses), f"{verdict.p:.2g}", won(verdict), gain


def won(verdict: Verdict) -> str:
    """Return the tasks won, of how many."""
    return f"{verdict.tasks_won} of {verdict.tasks}"


def _cell(cell: Cell, notes: Sequence[str]) -> tuple[str, ...]:
    if cell.error:
        return cell.method, cell.error, *[""] * (len(CELL) + len(notes) - 2)
    percent = (_interval(cell, metric, 100, 1) for metric in ("accuracy", "agreement", "ece"))
    told = (_note(name, cell.notes[name]) if name in cell.notes else "" for name in notes)
    return cell.method, *percent, _interval(cell, "nll", 1, 3), cost(cell), f"{cell.steps:.0f}", *told


def cost(cell: Cell) -> str:
    """Return the cost of a step; nothing where none was timed."""
    return f"{cell.step_cost:.2f}" if cell.step_cost == cell.step_cost else ""


def _note(name: str, value: float) -> str:
    """Write counts without decimals, money with two, shares with three."""
    if name == "dollars":
        return f"{value:.2f}"
    return f"{value:.0f}" if value.is_integer() else f"{value:.3f}"


def _interval(cell: Cell, metric: str, factor: float, digits: int) -> str:
    if metric not in cell.mean:
        return ""
    half = factor * cell.half[metric]
    spread = f" ± {half:.{digits}f}" if isfinite(half) else ""
    return f"{factor * cell.mean[metric]:.{digits}f}{spread}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def extent(found: PublishedStudy) -> str:
    """How much of the study has been done."""
    seeds = sorted({row["seed"] for row in found.rows})
    return f"{len(found.rows)} trials with seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def commits(found: PublishedStudy) -> str:
    """Which sources the trials were done with."""
    known = sorted({row["commit"] for row in found.rows if "commit" in row})
    return f"commit{'s' if len(known) > 1 else ''} {', '.join(known)}" if known else "commit unknown"


def commit() -> str:
    """Return the commit of the sources, marked where they differ from it; "unknown" outside a clone."""
    asked = ["git", "-C", str(FOLDER.parent.parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
