"""One frame of a run: everything that is measured at a step, for those who look. Measuring changes nothing."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch

from kdcore.contracts.method import Ask, Method
from kdcore.device import apart
from kdcore.engine.measure import GRADIENT_ROWS, Arrays, gradients
from kdcore.engine.setup import Setup
from kdcore.engine.teacher import UsedUp
from kdcore.generation.source import Maker

NOTE = "note_"  # begins the names of numbers that are worth following
NEW_EACH_STEP: frozenset[Ask] = frozenset({"mixing", "second_view"})  # asks that show the teacher other images
FOLLOWED = ("image_pull", "kl_pull", "pull_cosine")  # arrays of methods, whose means are


def measured(setup: Setup, step: int, recorded: bool = True) -> Arrays:
    """Answers on the probe set, the field, the tug of the loss terms, the method's own arrays, what the source makes.

    Args:
        recorded: whether the frame is part of the record; otherwise it may cost no look at a service.
    """
    with setup.listening():
        return _measured(setup, step, recorded)


def _measured(setup: Setup, step: int, recorded: bool) -> Arrays:
    arrays = setup.probe.frame(step)
    dear = setup.spec.service is not None and NEW_EACH_STEP & setup.method.asks
    if recorded or not dear:
        arrays |= _learned(setup, step)
    if setup.made:
        with apart(setup.device):
            arrays |= setup.made.arrays(step, torch.from_numpy(arrays["student_logits"]), recorded)
    return arrays


def _learned(setup: Setup, step: int) -> Arrays:
    """The gradients of the loss terms, and what the method shows of itself; {} where no look is left for them."""
    index = setup.shown[:GRADIENT_ROWS]
    labels = setup.y[index] if not isinstance(setup.source, Maker) else torch.full_like(index, -1)
    arrays: Arrays = {}
    with apart(setup.device), suppress(UsedUp):
        arrays |= gradients(
            setup.modules,
            setup.student,
            lambda: setup.method.terms(
                setup.composed(setup.x[index], labels, index, step, known=True, looking=True), setup.state
            ),
        )
        arrays |= _observed(setup, step)
    return arrays


@torch.no_grad()
def _observed(setup: Setup, step: int) -> Arrays:
    """What the method shows of itself on the probe rows, as own_<name>."""
    if type(setup.method).arrays is Method.arrays:
        return {}
    labels = torch.from_numpy(setup.probe.static["probe_labels"]).to(setup.device)
    setup.modules.eval()
    try:
        batch = setup.composed(setup.probe.x, labels, torch.zeros_like(labels), step, known=False, looking=True)
        found = setup.method.arrays(batch, setup.state)
    finally:
        setup.modules.train()
    arrays = {f"own_{name}": array.float().cpu().numpy() for name, array in found.items()}
    means = {name: found[name].double().mean() for name in FOLLOWED if name in found}
    return arrays | {NOTE + name: np.array(float(mean)) for name, mean in means.items()}


def parted(arrays: Arrays) -> tuple[Arrays, dict[str, float]]:
    """The arrays of a frame, and the numbers among them that are worth following by their names."""
    notes = {name.removeprefix(NOTE): float(array) for name, array in arrays.items() if name.startswith(NOTE)}
    return {name: array for name, array in arrays.items() if not name.startswith(NOTE)}, notes
