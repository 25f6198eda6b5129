"""A study: every method on several tasks with several seeds, as a plan of trials and a table of what came out.

A study is a YAML file: tasks (each a spec without its method), methods, seeds, and the method all others are compared
with. Each trial has one of two budgets: "steps" gives every method as many steps as the task says, "time" as many as
fit into the time that the reference took, by the measured time of a step. Rows are kept as JSON lines, so that a study
that was stopped goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator
from scipy import stats

from kdcore.errors import BadInput, gist, sentence, shortened, unknown
from kdcore.frozen import WrittenModel
from kdcore.runs.bill import dollars
from kdcore.spec.catalogue import catalogue
from kdcore.spec.lineage import alike, lineage, paced
from kdcore.spec.spec import Choice, Spec, Watch, parse
from kdcore.untrusted import read_json, read_text, read_yaml

Budget = Literal["steps", "time"]
BUDGETS: tuple[Budget, ...] = ("steps", "time")
LITTLE = Watch(points=4, evaluations=1, frames=1, checkpoints=1)
NEAR = 0.05  # a step that costs within 5 % of the reference's gets no trial of its own for the same time
LEVEL = 0.95  # of the confidence intervals
WALLED = "black box"  # the family that "all" leaves out, as its methods want a source or an access of their own
METRICS = ("accuracy", "agreement", "ece", "nll", "kl")


class Task(WrittenModel):
    """Data, teacher, student and schedule; the method and the seed are the study's."""

    name: str
    says: str = Field(description="Why distillation matters here, in one sentence.")
    spec: dict[str, Any]


class Variant(WrittenModel):
    """A method with knobs of its own, under a name of its own."""

    label: str
    method: str
    knobs: dict[str, Any] = Field({})
    set: dict[str, Any] = Field({}, description="Other parts of the spec in place of the task's, such as its source.")
    tasks: tuple[str, ...] = Field((), description="Names of the tasks it is for; all where there is none.")


class Study(WrittenModel):
    """What is compared."""

    name: str = Field(pattern=r"^[a-z0-9-]+$", max_length=80)
    says: str
    tasks: tuple[Task, ...] = Field(min_length=1)
    methods: tuple[str, ...] | Literal["all"] = "all"
    variants: tuple[Variant, ...] = ()
    reference: str = "kd"
    notes: tuple[str, ...] = Field((), description="What the methods tell of themselves that stands in the tables.")
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1)
    budgets: tuple[Budget, ...] = Field(BUDGETS, min_length=1)

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        methods = () if self.methods == "all" else self.methods
        named: dict[str, list[Any]] = {
            "task": [task.name for task in self.tasks],
            "method": [*methods, *(variant.label for variant in self.variants)],
            "seed": [*self.seeds],
            "budget": [*self.budgets],
        }
        for kind, names in named.items():
            twice = [name for place, name in enumerate(names) if name in names[:place]]
            if twice:
                raise BadInput(f"The study names the {kind} {shortened(twice[0])} twice; name it once.")
        return self

    def compared(self) -> list[Variant]:
        """Every method and variant, the reference first."""
        known = catalogue()["method"]
        every = [name for name in known if known[name]["family"] != WALLED]
        names = every if self.methods == "all" else list(self.methods)
        found = [*(Variant(label=name, method=name) for name in names), *self.variants]
        if self.reference not in {variant.label for variant in found}:
            raise unknown("method of this study", self.reference, [variant.label for variant in found])
        return sorted(found, key=lambda variant: variant.label != self.reference)


class Trial(NamedTuple):
    """One run of a study."""

    task: str
    method: str  # the variant's label
    seed: int
    budget: Budget
    spec: Spec

    @property
    def place(self) -> Row:
        """What its row says of it; another spec is another trial."""
        own = {"task": self.task, "method": self.method, "seed": self.seed, "budget": self.budget}
        return own | {"spec": self.spec.hash}

    @property
    def key(self) -> str:
        """Its name among rows."""
        return key(self.place)


Row = dict[str, Any]  # `Trial.place`, commit, steps, step_s, METRICS, teacher_accuracy, notes; or place and error


def key(row: Row) -> str:
    """Return the name of a row's trial."""
    return "|".join(str(row[part]) for part in ("task", "method", "seed", "budget", "spec"))


def read(path: Path) -> Study:
    """Return the study in a YAML file.

    Raises:
        BadInput: the file is absent, is not YAML or describes no study.
    """
    try:
        return Study.model_validate(read_yaml(read_text(path)))
    except OSError as error:
        raise BadInput(f"The study {path} cannot be read ({error.strerror}); give a YAML file.") from error
    except ValidationError as error:
        raise sentence(error, f"The study {path.name}") from error
    except ValueError as error:
        raise BadInput(f"The study {path} is not YAML: {gist(error)}.") from error


def trials(study: Study, rows: Mapping[str, Row]) -> list[Trial]:
    """Return what the study consists of as far as the rows tell: trials of equal time follow those of equal steps.

    Raises:
        BadInput: a task and a method do not go together.
    """
    found = [_trial(*one, "steps") for one in _places(study)]
    if "time" in study.budgets and all(trial.key in rows for trial in found):
        found += _timed(study, found, rows)
    return found


def _places(study: Study) -> Iterator[tuple[Task, Variant, int]]:
    """Every task, method and seed; seed by seed, so that a study that is stopped early has seen all methods."""
    return ((task, variant, seed) for seed, (task, variant) in product(study.seeds, _pairs(study)))


def _pairs(study: Study) -> Iterator[tuple[Task, Variant]]:
    """Every task with each method that is meant for it."""
    pairs = product(study.tasks, study.compared())
    return ((task, variant) for task, variant in pairs if not variant.tasks or task.name in variant.tasks)


def _trial(task: Task, variant: Variant, seed: int, budget: Budget, share: float = 1.0) -> Trial:
    """One trial, with a share of the task's steps, at the learning rate that suits the method."""
    method = Choice(name=variant.method, knobs=variant.knobs)
    spec = parse(task.spec | variant.set | {"method": method.model_dump(), "seed": seed})
    steps = max(1, round(spec.schedule.steps * share))
    schedule = paced(spec.schedule, variant.method).model_copy(update={"steps": steps})
    asked = alike(spec).model_copy(update={"schedule": schedule, "watch": LITTLE})
    return Trial(task.name, variant.label, seed, budget, lineage(asked))


def _timed(study: Study, done: Sequence[Trial], rows: Mapping[str, Row]) -> Iterator[Trial]:
    """Trials with the steps that fit into the reference's time; none where a step costs as much as the reference's."""
    costs = step_costs(study, [rows[trial.key] for trial in done])
    for task, variant, seed in _places(study):
        ratio = costs.get((task.name, variant.label))
        if ratio and abs(ratio - 1) > NEAR:
            yield _trial(task, variant, seed, "time", 1 / ratio)


def step_costs(study: Study, rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Return the time of a step over the reference's, by task and method: the ratio of the medians over the seeds.

    A row without a time, such as one that was timed on a busy machine, has no say in it.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["budget"] == "steps" and "step_s" in row:
            times.setdefault((row["task"], row["method"]), []).append(row["step_s"])
    base = {task: median(found) for (task, method), found in times.items() if method == study.reference}
    return {key: median(found) / base[key[0]] for key, found in times.items() if key[0] in base}


def priced(study: Study, rows: Sequence[Row]) -> list[Row]:
    """Return the rows, with "dollars" in the notes of each whose images were counted, at the price of its trial's
    wall.
    """
    counted = {(row["task"], row["method"]) for row in rows if "images" in row.get("notes", {})}
    walls = {
        (task.name, variant.label): _trial(task, variant, 0, "steps").spec
        for task, variant in _pairs(study)
        if (task.name, variant.label) in counted
    }
    return [_priced(row, walls.get((row["task"], row["method"]))) for row in rows]


def _priced(row: Row, spec: Spec | None) -> Row:
    notes = row.get("notes", {})
    if spec is None or spec.wall is None or "images" not in notes or "dollars" in notes:
        return row
    images = notes["images"] + (notes.get("looked", 0) if spec.remote else 0)
    return row | {"notes": notes | {"dollars": dollars(images, spec.wall.price)}}


# What came out


class Cell(NamedTuple):
    """One method on one task with one budget. Intervals are of Student's t over the seeds, at LEVEL."""

    task: str
    method: str
    budget: Budget
    seeds: int
    steps: float
    step_cost: float  # over the reference's; not a number where no step was timed
    mean: dict[str, float]  # by metric
    half: dict[str, float]  # half the width of the interval; nan with fewer than two seeds
    notes: dict[str, float]  # means over the seeds
    error: str | None = None  # why there is nothing


class Verdict(NamedTuple):
    """A method against the reference over pairs of equal task and seed; a student that tasks share counts once.

    The seeds of a task share its teacher and its test rows, so p says nothing beyond these very tasks.
    """

    method: str
    budget: Budget
    wins: int  # more accurate on the test split
    losses: int
    p: float  # two-sided sign test over the pairs, given the tasks; ties are left out
    gain: float  # mean difference of test accuracy, a fraction
    tasks_won: int  # more accurate on the mean over the seeds
    tasks: int  # of so many; those that share all students count once


def cells(study: Study, rows: Sequence[Row]) -> list[Cell]:
    """Return the table, task by task in the study's order of methods."""
    costs, table = step_costs(study, rows), _table(rows)
    tasks, methods = [task.name for task in study.tasks], [variant.label for variant in study.compared()]
    return [
        _cell(task, method, budget, costs.get((task, method), float("nan")), found)
        for task, budget, method in product(tasks, study.budgets, methods)
        if (found := _rows_of(table, costs, task, method, budget))
    ]


Costs = Mapping[tuple[str, str], float]  # of a step over the reference's, by task and method
Table = Mapping[tuple[str, str, str], list[Row]]  # by task, method and budget


def _table(rows: Iterable[Row]) -> Table:
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["task"], row["method"], row["budget"]), []).append(row)
    return found


def _rows_of(table: Table, costs: Costs, task: str, method: str, budget: Budget) -> list[Row]:
    """Return the trials of one method on one task; those of equal steps serve for equal time where a step costs the
    same.
    """
    near = abs(costs.get((task, method), 0.0) - 1) <= NEAR
    return table.get((task, method, "steps" if near else budget), [])


def _cell(task: str, method: str, budget: Budget, cost: float, rows: Sequence[Row]) -> Cell:
    good = [row for row in rows if "error" not in row]
    values = {metric: [row[metric] for row in good if metric in row] for metric in METRICS}
    mean = {metric: fmean(found) for metric, found in values.items() if found}
    half = {metric: half_width(found) for metric, found in values.items() if found}
    steps = fmean(row["steps"] for row in good) if good else 0.0
    error = None if good else str(rows[0]["error"])
    names = {name for row in good for name in row.get("notes", {})}
    notes = {name: fmean(row["notes"][name] for row in good) for name in sorted(names)}
    return Cell(task, method, budget, len(good), steps, cost, mean, half, notes, error)


def half_width(values: Sequence[float]) -> float:
    """Half the width of the confidence interval of the mean, by Student's t; NaN of values that bear none.

    A single value says nothing of how far others lie, and equal ones would say that none ever differs.
    """
    count = len(values)
    if len(set(values)) < 2:
        return float("nan")
    quantile = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1))
    return quantile * stdev(values) / math.sqrt(count)


def verdicts(study: Study, rows: Sequence[Row]) -> list[Verdict]:
    """Every method against the reference, best gain first."""
    found, table, costs = [], _table(rows), step_costs(study, rows)
    for budget, variant in product(study.budgets, study.compared()):
        by_task = _gaps(study, table, costs, variant.label, budget)
        if variant.label != study.reference and by_task:
            gaps, won = _single(by_task), [fmean(own.values()) > 0 for own in _distinct(by_task)]
            wins, losses = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
            p = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
            found.append(Verdict(variant.label, budget, wins, losses, p, fmean(gaps), sum(won), len(won)))
    return sorted(found, key=lambda verdict: (BUDGETS.index(verdict.budget), -verdict.gain))


def strict(compared: int) -> float:
    """Return the p below which one of so many comparisons is significant at LEVEL (Bonferroni)."""
    return (1 - LEVEL) / max(1, compared)


def level_of_tasks(tasks: int) -> float:
    """Return the p that a two-sided sign test over so many tasks reaches where all are won; at most 1."""
    return min(1.0, 2 * 0.5**tasks)


Student = tuple[float | None, ...]  # its seed and METRICS, by which it is known
Gaps = dict[Student, float]  # test accuracy minus the reference's


def _gaps(study: Study, table: Table, costs: Costs, method: str, budget: Budget) -> list[Gaps]:
    """Return the gaps on every task that has any.

    Tasks share a student where what tells them apart does not reach it, as an answer's form does not reach one who
    reads labels only. It is known by all its METRICS being equal.
    """
    found = []
    for task in study.tasks:
        base = {row["seed"]: row for row in _rows_of(table, costs, task.name, study.reference, "steps")}
        own: Gaps = {}
        for row in _rows_of(table, costs, task.name, method, budget):
            if "error" not in row and "error" not in base.get(row["seed"], {"error": "absent"}):
                student = (row["seed"], *(row.get(metric) for metric in METRICS))
                own[student] = row["accuracy"] - base[row["seed"]]["accuracy"]
        found.append(own)
    return [own for own in found if own]


def _single(by_task: Sequence[Gaps]) -> list[float]:
    """Every student's gap once: the mean over the tasks that share it."""
    students = dict.fromkeys(student for own in by_task for student in own)
    return [fmean(own[student] for own in by_task if student in own) for student in students]


def _distinct(by_task: Sequence[Gaps]) -> list[Gaps]:
    """Return the gaps by task, once for tasks that share all students: means over these."""
    groups: dict[frozenset[Student], list[Gaps]] = {}
    for own in by_task:
        groups.setdefault(frozenset(own), []).append(own)
    return [{student: fmean(own[student] for own in alike) for student in key} for key, alike in groups.items()]


# What is kept


def load(path: Path) -> dict[str, Row]:
    """Rows by key from a file of JSON lines; {} where there is none. A line cut off by a crash is passed over."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(ValueError, KeyError, TypeError):
            row = read_json(line)
            found[key(row)] = row
    return found
