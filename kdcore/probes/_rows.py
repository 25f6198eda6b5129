"""What several probes read of a record: answers on the probe rows, names of classes, the pinned row."""

import numpy as np

from kdcore.probes._numerics import Floats, Ints, softmax
from kdcore.runs.record import Record


def labels(record: Record) -> np.ndarray:
    """True classes of the probe rows, (N,) int64."""
    return np.asarray(record.static["probe_labels"], dtype=np.int64)


def student_logits(record: Record) -> np.ndarray:
    """The student's answers in the frame on show, (N, C)."""
    return record.frame["student_logits"]


def teacher_logits(record: Record) -> np.ndarray | None:
    """The teacher's answers, (N, C); None without a teacher."""
    return record.static.get("teacher_logits")


def class_names(record: Record, count: int) -> tuple[str, ...]:
    """One name per class; its number where the run has not said."""
    named = record.started.classes if record.started else ()
    return (*named, *map(str, range(len(named), count)))[:count]


def pinned_row(record: Record, sample: int) -> int:
    """The probe row to show for a wish that may come from another run's link."""
    return min(sample, len(record.static["probe_labels"]) - 1)


def shown_classes(logits: np.ndarray, label: int, limit: int) -> np.ndarray:
    """All classes in order when they are at most `limit`; else the likeliest by `logits` (C,), and the label last."""
    if len(logits) <= limit:
        return np.arange(len(logits))
    likeliest = np.argsort(-softmax(logits), kind="stable")[:limit]
    return likeliest if label in likeliest else np.append(likeliest, label)


def trained_temperature(record: Record) -> float | None:
    """The temperature that the method trains at by the step on show; None where it has not one for all samples."""
    changed = [change.new for change in record.changes if change.path == "method.temperature"]
    value = changed[-1] if changed else record.spec.method.knobs.get("temperature")
    return float(value) if isinstance(value, (int, float)) else None


def followed(record: Record, *names: str) -> tuple[Ints, dict[str, Floats]]:
    """Numbers that frames told, over the steps (F,) of those that told any of them; NaN where one was not told."""
    told = [frame for frame in record.frames if any(name in frame.notes for name in names)]
    values = {name: np.array([frame.notes.get(name, np.nan) for frame in told], dtype=np.float64) for name in names}
    return np.array([frame.step for frame in told], dtype=np.int64), values


def newest(record: Record, name: str) -> float:
    """A number that the frame on show told, or else the newest frame that did; NaN where none did."""
    if f"note_{name}" in record.frame:
        return float(record.frame[f"note_{name}"])
    return next((frame.notes[name] for frame in reversed(record.frames) if name in frame.notes), float("nan"))
