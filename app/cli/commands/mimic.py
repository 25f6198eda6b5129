"""`kdlab mimic`: a finished run's teacher in the form of a tree and of an additive model, as tables."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.cli.commands.show import table
from app.text.consent import OPTION
from app.text.phrases import percent
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.jobs.store import Store
from kdcore.mimics.gam import KNOTS, GamMimic, gam_mimic
from kdcore.mimics.tree import TreeMimic, path, tree_mimic
from kdcore.runs.record import read_arrays
from kdcore.terminal import say

VARIED = 32  # inputs of the additive model, those that vary most
TOLD = 8  # of its shapes


@dataclass(frozen=True)
class ProbeAnswers:
    """What a teacher said of a run's probe rows."""

    x: np.ndarray  # (N, F)
    shape: tuple[int, ...]  # of one input
    probabilities: np.ndarray  # (N, C)
    labels: np.ndarray  # (N,)
    classes: tuple[str, ...]


def mimic(run_id: str, depth: int, of_class: str | None, row: int, as_json: bool) -> None:
    """Print how faithful trees and an additive model are to the teacher of a run.

    Raises:
        BadInput: there is no such run, row or class, or the run has no teacher.
    """
    told = answers(run_id)
    place = _class(told, of_class)
    if not 0 <= row < len(told.x):
        raise BadInput(f"The run's probe rows are 0 to {len(told.x) - 1}, but row {row} is asked for.")
    trees = tree_mimic(told.x, told.probabilities, told.labels, [*range(1, depth + 1), None])
    varied = np.sort(np.argsort(-told.x.std(0), kind="stable")[:VARIED])
    additive = gam_mimic(told.x[:, varied], told.probabilities, told.labels, place)
    if as_json:
        say(json.dumps(_plain({"tree": asdict(trees), "additive": asdict(additive), "inputs": varied}), indent=1))
        return
    _print_trees(told, trees, depth, row)
    _print_additive(told, additive, varied, place)


def answers(run_id: str) -> ProbeAnswers:
    """Return the teacher's answers to the probe rows of a run.

    Raises:
        BadInput: there is no such run, or it has no teacher.
    """
    store = Store()
    run = store.get(run_id)
    static = read_arrays(run.folder / "static.npz")
    if "teacher_logits" not in static:
        raise BadInput(f"Run {run_id!r} holds no answers of a teacher; choose a finished run that has one.")
    if "probe_x" not in static:
        raise BadInput(
            f"Run {run_id!r} was exported without the images that its teacher was asked about; "
            f"`kdlab export {OPTION}` includes them."
        )
    logits, x = static["teacher_logits"].astype(np.float64), static["probe_x"]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    started = next((event for event in store.story(run.id) if isinstance(event, Started)), None)
    classes = started.classes if started else tuple(map(str, range(logits.shape[1])))
    return ProbeAnswers(
        x=x.reshape(len(x), -1).astype(np.float64),
        shape=x.shape[1:],
        probabilities=powers / powers.sum(1, keepdims=True),
        labels=static["probe_labels"],
        classes=classes,
    )


def _class(told: ProbeAnswers, name: str | None) -> int:
    """Return the class of a name; the one that the teacher answers most often where none is named."""
    if name is None:
        return int(np.bincount(told.probabilities.argmax(1)).argmax())
    if name not in told.classes:
        raise BadInput(f"The run's classes are {', '.join(told.classes)}, but class {name!r} is asked for.")
    return told.classes.index(name)


def _input(told: ProbeAnswers, feature: int) -> str:
    """Return what an input is called: a pixel by channel, row and column, or a coordinate."""
    if len(told.shape) == 3:
        channel, row, column = np.unravel_index(feature, told.shape)
        return f"pixel {row},{column}" + (f" of channel {channel}" if told.shape[0] > 1 else "")
    return ("x", "y")[feature] if told.shape == (2,) else f"input {feature}"


def _print_trees(told: ProbeAnswers, found: TreeMimic, depth: int, row: int) -> None:
    """Fidelity by depth, and the path of one decision."""
    held = int(found.held.sum())
    say(
        f"Trees on the teacher's probabilities of {len(told.x) - held} rows, measured on {held} others, on which the "
        f"teacher is right in {percent(found.teacher_accuracy)}. Fidelity is how often a tree says the teacher's class."
    )
    rows = (
        (
            "unlimited" if one.depth is None else str(one.depth), str(one.leaves), percent(one.fitted),
            percent(one.held), percent(one.accuracy), percent(one.labels_held), percent(one.labels_accuracy),
        )
        for one in found.by_depth
    )  # fmt: skip
    heads = ("depth", "leaves", "fitted rows", "fidelity", "right", "fidelity, tree on labels", "right, on labels")
    table(heads, rows)
    say(f"\nHow the tree of depth {depth} decides row {row}:")
    for turn in path(found.tree, told.x[row]):
        best = int(turn.probabilities.argmax())
        sign = "≤" if turn.below else ">"
        say(
            f"  {_input(told, turn.feature)} is {turn.value:g} {sign} {turn.threshold:g}: "
            f"{told.classes[best]} {percent(float(turn.probabilities[best]))}"
        )


def _print_additive(told: ProbeAnswers, found: GamMimic, varied: np.ndarray, place: int) -> None:
    """Print the largest shapes beside those of the outcome model, and what both leave unexplained."""
    say(
        f"\nAdditive model of the teacher's log-odds of {told.classes[place]!r}, by the {len(varied)} inputs that vary "
        f"most: it explains {percent(max(0.0, found.r2))} of their variance and is on the teacher's side in "
        f"{percent(found.same_side)} of {found.missed.rows} rows, each by a model not fitted to it."
    )
    rows = (
        (
            _input(told, int(varied[one.feature])), f"{one.spread:.2f}", _ends(one.at), _ends(one.score),
            _ends(one.outcome),
        )
        for one in found.shapes[:TOLD]
    )  # fmt: skip
    table(("input", "spread", "from … to", "adds for the teacher", "adds for the labels"), rows)
    say(
        f"\nWhat it misses, {percent(min(1.0, 1 - found.r2))} of the variance, and what the model of labels misses "
        f"have correlation {found.missed.correlation:.2f} on these {found.missed.rows} rows. Why, this cannot tell: "
        f"shapes finer than {KNOTS} knots or than so few rows show, inputs that matter together, and inputs that are "
        "not among these all do it."
    )


def _ends(values: np.ndarray) -> str:
    return f"{values[0]:.3g} … {values[-1]:.3g}"


def _plain(value: Any) -> Any:
    """Return the same as lists and numbers, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
