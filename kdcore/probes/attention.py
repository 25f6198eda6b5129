"""Where on an image both networks look for the teacher's answer."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, mean
from kdcore.probes._rows import class_names, teacher_logits
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Sight:
    """One image; maps (H, W) from 0 to 1, the largest value of each being 1 unless all of it is 0."""

    row: int  # of the probe set
    asked: str  # the class, the teacher's answer
    teacher: Floats
    student: Floats
    cosine: float  # of both maps; NaN where one is 0 throughout


@dataclass(frozen=True)
class Attention:
    """The first rows of the probe set."""

    sights: tuple[Sight, ...]
    cosine: float  # mean over those that have one


def attention(record: Record) -> Attention:
    """Where each network finds the class the teacher predicts (Grad-CAM): cosine 1 is the same place, 0 no overlap.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    teachers, theirs, ours = teacher_logits(record), record.static["teacher_maps"], record.frame["student_maps"]
    assert teachers is not None
    size = (max(theirs.shape[1], ours.shape[1]), max(theirs.shape[2], ours.shape[2]))
    names = class_names(record, teachers.shape[1])
    asked = teachers[: len(theirs)].argmax(1)
    sights = tuple(
        _sight(row, names[asked[row]], resized(theirs[row], size), resized(ours[row], size))
        for row in range(len(theirs))
    )
    return Attention(sights, mean(np.array([sight.cosine for sight in sights])))


def resized(image: np.ndarray, size: tuple[int, int]) -> Floats:
    """Bilinear to (H, W); pixels are areas, so corners do not move to corners."""
    down, across = (_between(old, new) for old, new in zip(image.shape, size, strict=True))
    with np.errstate(invalid="ignore"):
        return np.asarray(down @ image.astype(np.float64) @ across.T)


def _between(old: int, new: int) -> Floats:
    """Weights (new, old) of the old places in each new one."""
    place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)[:, None]
    return np.asarray(np.maximum(0.0, 1 - np.abs(place - np.arange(old))))


def _sight(row: int, asked: str, teacher: Floats, student: Floats) -> Sight:
    lengths = float(np.linalg.norm(teacher) * np.linalg.norm(student))
    cosine = float((teacher * student).sum() / lengths) if np.isfinite(lengths) and lengths > 0 else float("nan")
    return Sight(row, asked, _bright(teacher), _bright(student), cosine)


def _bright(found: Floats) -> Floats:
    highest = found.max()
    return found / highest if np.isfinite(highest) and highest > 0 else np.zeros_like(found)
