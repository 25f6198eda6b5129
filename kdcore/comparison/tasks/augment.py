"""How both networks fare when the rows are changed: moved, turned, dimmed, made noisy, or augmented as in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi, sin
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.comparison.tasks._rows import drawn
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.probes._numerics import kl_nats
from kdcore.seeding import mix
from kdcore.spec.registry import SOURCES
from kdcore.spec.spec import parse

MOST = 1000
SALT = 71
Change = Callable[[Tensor, float, torch.Generator], Tensor]  # rows, how strongly, chance -> rows


class AugmentationTask(NamedTuple):
    """One way to change rows, at several strengths; 0 changes nothing."""

    change: Change
    strengths: tuple[float, ...]
    unit: str


def shifted(x: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    """Images (B, K, H, W) moved by `strength` pixels in a direction of each one's own; black comes in."""
    angle = 2 * pi * torch.rand(len(x), generator=chance)
    height, width = x.shape[2:]
    move = strength * torch.stack([angle.cos() * 2 / width, angle.sin() * 2 / height], dim=1)
    return _warped(x, torch.eye(2).expand(len(x), 2, 2), move)


def turned(x: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    """Images (B, K, H, W) turned by `strength` degrees, each to the left or to the right; corners become black."""
    side = torch.randint(0, 2, (len(x),), generator=chance) * 2.0 - 1
    c, s, ratio = cos(pi * strength / 180), sin(pi * strength / 180), x.shape[2] / x.shape[3]
    rows = [torch.full_like(side, c), -s * side * ratio, s * side / ratio, torch.full_like(side, c)]
    return _warped(x, torch.stack(rows, dim=1).view(-1, 2, 2), torch.zeros(len(x), 2))


def _warped(x: Tensor, turn: Tensor, move: Tensor) -> Tensor:
    """Each image as it is seen through an affine map of its own, with values between pixels interpolated."""
    grid = F.affine_grid(torch.cat([turn, move[:, :, None]], dim=2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def brightened(x: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    """Pixels times 1 + strength or 1 - strength, by each image's own draw; nothing is brighter than white."""
    side = torch.randint(0, 2, (len(x), 1, 1, 1), generator=chance) * 2.0 - 1
    return (x * (1 + strength * side)).clamp(0, 255)


def noisy(x: Tensor, strength: float, chance: torch.Generator) -> Tensor:
    """Gaussian noise whose standard deviation is `strength` times the range of pixels."""
    return (x + 255 * strength * torch.randn(x.shape, generator=chance)).clamp(0, 255)


IMAGES = {
    "shift": AugmentationTask(shifted, (0, 1, 2, 3, 4), "pixels"),
    "rotation": AugmentationTask(turned, (0, 5, 10, 20, 30), "degrees"),
    "brightness": AugmentationTask(brightened, (0, 0.1, 0.2, 0.4, 0.6), "of the brightness, up or down"),
    "noise": AugmentationTask(noisy, (0, 0.05, 0.1, 0.2, 0.3), "of the range of pixels"),
}
SPREADS = (0, 0.1, 0.2, 0.4, 0.8)  # of noise on features, in their standard deviations


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report) -> Arrays:
    """family (A,), strength (A,) and unit (A,) of each change; right (M, A, R), same (A, R) and kl (A, R) of the rows.

    M is 2, student and teacher, or 1 without a teacher; same and kl are there with one. "training" is the student's
    own augmentation at strength 1, where its run has one, and a second, strong view at strength 2. Rows without a label
    are left out.

    Raises:
        BadInput: no row with a label is meant.
    """
    rows = drawn(pair, asked, MOST)
    rows = rows[pair.labels[rows] >= 0]
    if not len(rows):
        raise BadInput("No selected row has a label, so nobody can be right about it; select others.")
    x, truth = pair.x[rows].float(), pair.labels[rows]
    told: list[tuple[str, float, str]] = []
    answers: list[list[np.ndarray]] = []
    changes = _changes(pair)
    for place, (family, strength, unit, change) in enumerate(changes):
        report(f"{family} {strength:g}", place / len(changes))
        seen = change(x)
        answers.append([model.logits(seen).numpy() for model in pair.models])
        told.append((family, strength, unit))
    logits = np.array(answers)  # (A, M, R, C)
    found = {"right": (logits.argmax(3) == truth).swapaxes(0, 1), "rows": rows}
    found |= {"select": np.array(str(asked.get("select", "")))}
    for name, column in zip(("family", "strength", "unit"), zip(*told, strict=True), strict=True):
        found[name] = np.array(column)
    if pair.teacher:
        found["same"] = logits[:, 0].argmax(2) == logits[:, 1].argmax(2)
        found["kl"] = kl_nats(logits[:, 1], logits[:, 0]).astype(np.float32)
    return found


def _changes(pair: ComparedPair) -> list[tuple[str, float, str, Callable[[Tensor], Tensor]]]:
    """Every change that suits the rows: family, strength, unit, and what it does."""
    if len(pair.shape) == 3:
        families = IMAGES
    else:
        spread = torch.from_numpy(pair.data.train.x).std(0)
        families = {"noise": AugmentationTask(featured(spread), SPREADS, "standard deviations of each feature")}
    found = [
        (name, strength, family.unit, _bound(family.change, strength, mix(0, place, SALT)))
        for name, family in families.items()
        for place, strength in enumerate(family.strengths)
    ]
    return found + _own(pair)


def featured(spread: Tensor) -> Change:
    """Gaussian noise on features, in units of their standard deviations (F,)."""
    return lambda x, strength, chance: x + strength * spread * torch.randn(x.shape, generator=chance)


def _bound(change: Change, strength: float, seed: int) -> Callable[[Tensor], Tensor]:
    if not strength:
        return lambda x: x
    return lambda x: change(x, strength, torch.Generator().manual_seed(seed))


def _own(pair: ComparedPair) -> list[tuple[str, float, str, Callable[[Tensor], Tensor]]]:
    """Return the augmentation of the student's own training, where it learned from data of this kind."""
    spec = parse(pair.question.student.spec) if pair.question.student.spec else None
    if spec is None or spec.source.name != "data" or len(pair.shape) != 3:
        return []
    source = SOURCES[spec.source.name](**spec.source.knobs)

    def weak(x: Tensor) -> Tensor:
        return source.transform(x.to(torch.uint8), 0, 0).float()

    def strong(x: Tensor) -> Tensor:
        return source.strengthen(source.transform(x.to(torch.uint8), 0, 0), 0, 0).float()

    said = "0 none, 1 as in training, 2 a second, strong view"
    kinds = [(0.0, lambda x: x), *([] if source.static else [(1.0, weak)]), (2.0, strong)]
    return [("training", strength, said, change) for strength, change in kinds]
