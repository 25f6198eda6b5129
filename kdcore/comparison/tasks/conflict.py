"""Whether labels and teacher pull each stage of the student the same way, for each class of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kdcore.blackbox.loaded_run import weights_of
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import Report, silent
from kdcore.contracts.method import Term
from kdcore.contracts.net import Net
from kdcore.device import apart
from kdcore.engine import checkpoint
from kdcore.engine.build import device_for
from kdcore.engine.measure import Arrays
from kdcore.engine.setup import Setup
from kdcore.errors import BadInput
from kdcore.nn.losses import cross_entropy
from kdcore.spec.catalogue import home
from kdcore.spec.spec import Spec, parse

BATCHES = 8  # of rows of all classes
BATCH = 64
MOST_CLASSES = 16
EVERY = "all weights"
LABELS = "labels"  # the term that reads true labels


class GradientPair(NamedTuple):
    """Both gradients on the G groups of weights, in three numbers each."""

    product: Tensor  # (G,) inner product
    labels: Tensor  # (G,) length of the labels' gradient
    teacher: Tensor  # (G,) length of the others'


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report) -> Arrays:
    """stages (G,) their names; batch (B, G, 3) of rows of all classes and class (K, G, 3) of rows of one each: cosine
    of both gradients, length of the labels' and of the others'; classes (K,), rows (K,), terms (T,).

    The last group is all weights. Asked: teacher and mentors, the paths of their weights.

    Raises:
        BadInput: the method's terms cannot be had again.
    """
    setup = _setup(pair, asked)
    groups = grouped(setup.student)
    chance = np.random.default_rng(0)
    pools = _pools(setup, chance)
    whole = [_drawn(np.concatenate(pools), chance) for _ in range(BATCHES)]
    shown = _worst(pair, pools)
    single = [_drawn(pools[k], chance) for k in shown]
    found, terms, taken = [], set[str](), False
    for place, rows in enumerate([*whole, *single]):
        report("taking gradients", place / (len(whole) + len(single)))
        told, names, taken = _pull(setup, rows, list(groups.values()))
        found.append(_numbers(told))
        terms |= names
    return {
        "stages": np.array(list(groups)),
        "batch": np.stack(found[:BATCHES]),
        "class": np.stack(found[BATCHES:]),
        "classes": np.array(shown),
        "rows": np.array([len(rows) for rows in single]),
        "batch_rows": np.array(len(whole[0])),
        "terms": np.array(sorted(terms)),
        "labels_taken": np.array(taken),
    }


def _setup(pair: ComparedPair, asked: Mapping[str, Any]) -> Setup:
    """Return the student's run as it stood after its last step."""
    party = pair.question.student
    if not (party.folder and party.spec):
        raise BadInput("The student is no run of this machine, so the gradients of its training cannot be taken again.")
    spec, folder = parse(party.spec), Path(party.folder)
    _check(spec, asked)
    with apart(device_for(spec.device)):
        teacher = Path(asked["teacher"]) if asked.get("teacher") else None
        setup = Setup(spec, home() / "data", teacher, silent, [Path(path) for path in asked.get("mentors", ())], folder)
        saved = checkpoint.newest(folder)
        if saved:
            checkpoint.restore(saved, setup.modules, setup.rules)
        elif setup.state is not None and list(setup.state.state_dict()):
            raise BadInput("The run keeps no checkpoint, so what its method has learned beside the student is lost.")
        setup.student.load_state_dict(weights_of(folder).student)
    setup.modules.eval()
    return setup


def _check(spec: Spec, asked: Mapping[str, Any]) -> None:
    if spec.service:
        raise BadInput("The student's teacher is a service, and gradients would ask it again; open a run with its own.")
    if (spec.teacher and not asked.get("teacher")) or len(asked.get("mentors", ())) != len(spec.mentors):
        raise BadInput("The run that taught this student is not on this machine any more; train its teacher again.")
    if spec.source.name != "data":
        raise BadInput(f"Source {spec.source.name!r} makes its images and none has a label; open a run on data.")


def grouped(student: Net) -> dict[str, list[nn.Parameter]]:
    """Return the weights that learn, stage by stage, those of the head, and last all of them; empty stages are left
    out.
    """
    parts = {f"stage {place}": block for place, block in enumerate(student.blocks, 1)} | {"head": student.head}
    found = {name: [w for w in part.parameters() if w.requires_grad] for name, part in parts.items()}
    every = [weight for weight in student.parameters() if weight.requires_grad]
    return {name: weights for name, weights in found.items() if weights} | {EVERY: every}


def _pools(setup: Setup, chance: np.random.Generator) -> list[np.ndarray]:
    """Return the labelled training rows of each class that the run was shown, shuffled."""
    rows = setup.shown.cpu().numpy()
    labels = setup.y.cpu().numpy()[rows]
    return [chance.permutation(rows[labels == k]) for k in range(len(setup.data.classes))]


def _drawn(pool: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return chance.choice(pool, min(BATCH, len(pool)), replace=False)


def _worst(pair: ComparedPair, pools: list[np.ndarray]) -> list[int]:
    """Return the classes on which the student errs most among the case's rows, at most MOST_CLASSES, in their own
    order.
    """
    wrong = pair.student.logits(pair.x).argmax(1).numpy() != pair.labels
    share = [wrong[pair.labels == k].mean() if (pair.labels == k).any() else -1.0 for k in range(len(pools))]
    known = [k for k in np.argsort(share)[::-1].tolist() if len(pools[k]) > 1]
    return sorted(known[:MOST_CLASSES])


def _pull(setup: Setup, rows: np.ndarray, groups: list[list[nn.Parameter]]) -> tuple[GradientPair, set[str], bool]:
    """Both gradients of one batch, in eval mode; the terms that distil, and whether the method has one of labels."""
    index = torch.from_numpy(rows).to(setup.device)
    step = setup.spec.schedule.steps - 1
    with apart(setup.device):
        batch = setup.composed(setup.x[index], setup.y[index], index, step, known=True, looking=True)
        terms = dict(setup.method.terms(batch, setup.state))
    own = terms.pop(LABELS, None)
    taken = own is not None and own.weight > 0
    if own is None or not taken:
        own = Term(1.0, cross_entropy(batch.student.logits, batch.labels))
    others = [term for term in terms.values() if term.value.requires_grad and term.weight]
    if not others:
        raise BadInput("The student's method has no term that distils, so nothing pulls against its labels.")
    distilled = torch.stack([term.weight * term.value for term in others]).sum()
    return pull(own.weight * own.value, distilled, groups), set(terms), taken


def pull(labels: Tensor, distilled: Tensor, groups: list[list[nn.Parameter]]) -> GradientPair:
    """Two losses' gradients on groups of weights, of which the last holds all."""
    weights = groups[-1]
    one, other = (
        dict(zip(map(id, weights), torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True,
                                                         materialize_grads=True), strict=True))
        for loss in (labels, distilled)
    )  # fmt: skip
    flat = [[torch.cat([found[id(w)].flatten() for w in group]).double() for found in (one, other)] for group in groups]
    product = torch.stack([a @ b for a, b in flat])
    lengths = torch.stack([torch.stack([a.norm(), b.norm()]) for a, b in flat])
    return GradientPair(product, lengths[:, 0], lengths[:, 1])


def _numbers(told: GradientPair) -> np.ndarray:
    """(G, 3): cosine, NaN where one of both is zero, and both lengths."""
    lengths = told.labels * told.teacher
    cosine = torch.where(lengths > 0, told.product / lengths.clamp(min=1e-300), torch.nan)
    return torch.stack([cosine, told.labels, told.teacher], dim=1).cpu().numpy()
