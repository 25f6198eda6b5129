"""A case as it lies on disk: two models' answers about the same rows, and whatever else was measured of them.

A case's folder:
    about.json       who is compared on what (`About`)
    rows.npz         labels (N,) int64, -1 where unknown; student_logits (N, C) float32; teacher_logits (N, C) float32
                     where there is a teacher; index (N,) int64, the row in its split; probe (P,) int64, which of the N
                     rows are the run's probe rows
    pictures.npy     (N, K, H, W) uint8, or points (N, F) float32, where the rows themselves are at hand
    columns.npz      what is known of each row besides, (N,) numbers by name
    <part>.npz       what else was measured, by whom it was: see the functions that read it
    <part>.json      how far a task is that takes long (`Progress`)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from kdcore.atomic import write_text
from kdcore.comparison.cache import kept
from kdcore.comparison.log_probabilities import Logs
from kdcore.errors import BadInput
from kdcore.frozen import FrozenModel
from kdcore.probes._numerics import Floats, Ints, kl_nats, top_class
from kdcore.runs.record import Arrays, read_arrays, written_ns
from kdcore.spec.catalogue import home
from kdcore.spec.spec import Choice

FOLDER = "cases"  # below `home()`
Where = Literal["val", "test", "train", "given"]
Part = Literal["both_right", "teacher_only", "student_only", "wrong_same", "wrong_differently"]
PARTS: dict[Part, str] = {  # in the order of their codes, and what they are called on screen
    "both_right": "both right",
    "teacher_only": "teacher only",
    "student_only": "student only",
    "wrong_same": "both wrong, same answer",
    "wrong_differently": "both wrong, differently",
}
UNKNOWN = -1  # the code of a row without a label


class Side(FrozenModel):
    """One of the two models."""

    title: str
    run: str | None = None  # where it is a run of ours
    service: Choice | None = None  # where it is somebody else's


class About(FrozenModel):
    """Who is compared, on which rows."""

    classes: tuple[str, ...]
    student: Side
    teacher: Side | None = None
    data: Choice | None = None  # None where nothing but answers was given
    where: Where = "val"
    shape: tuple[int, ...] = ()  # of one row; () where the rows are not at hand
    whole: int | None = None  # rows of the split, of which the case may have fewer; None where nobody counted
    notes: tuple[str, ...] = ()  # what a person should know, such as what was resized


class Progress(BaseModel):
    """How far a task is."""

    model_config = ConfigDict(frozen=True)
    state: Literal["waiting", "working", "done", "failed"] = "working"
    share: float = Field(0.0, ge=0.0, le=1.0)
    says: str = ""  # what it does, or one sentence on why it failed


@dataclass(frozen=True)
class Rows:
    """Both models' answers about N rows; what follows from them is computed once."""

    labels: Ints  # (N,), -1 where unknown
    student: np.ndarray  # (N, C) float32 logits
    teacher: np.ndarray | None  # (N, C) float32 logits
    index: Ints  # (N,) the row in its split
    probe: Ints  # (P,) which of the rows are the run's probe rows, in their order

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def log_q(self) -> Logs:
        """(N, C) the student's log-probabilities at temperature 1."""
        return Logs(self.student)

    @property
    def log_p(self) -> Logs:
        """(N, C) the teacher's; there must be one."""
        assert self.teacher is not None
        return Logs(self.teacher)

    @cached_property
    def student_top(self) -> Ints:
        """(N,) the student's answers."""
        return top_class(self.student)

    @cached_property
    def teacher_top(self) -> Ints:
        """(N,) the teacher's answers; there must be one."""
        assert self.teacher is not None
        return top_class(self.teacher)

    @cached_property
    def kl(self) -> Floats:
        """(N,) KL(teacher || student) in nats at temperature 1; there must be a teacher."""
        theirs, ours = self.teacher, self.student
        assert theirs is not None
        return self.log_q.each(lambda _, at: kl_nats(theirs[at], ours[at]))

    @cached_property
    def part(self) -> Ints:
        """(N,) the place of each row's part in PARTS, UNKNOWN without a label; there must be a teacher."""
        truth, ours, theirs = self.labels, self.student_top, self.teacher_top
        right, taught = ours == truth, theirs == truth
        found = np.select([right & taught, taught, right, (ours == theirs) & (ours >= 0)], [0, 1, 2, 3], 4)
        return np.where(truth < 0, UNKNOWN, found).astype(np.int64)

    @cached_property
    def columns(self) -> dict[str, Floats]:
        """(N,) numbers that follow from the answers, by name; also what selections and slices are made of."""
        found = {f"student {name}": values for name, values in certainty(self.log_q).items()}
        if self.teacher is not None:
            found |= {f"teacher {name}": values for name, values in certainty(self.log_p).items()}
            found |= {"kl": self.kl}
        return found


def certainty(log_q: Logs) -> dict[str, Floats]:
    """Confidence, the gap between the two likeliest probabilities, and entropy in nats, of (N, C)."""
    return dict(zip(("confidence", "margin", "entropy"), log_q.each(_certainty).T, strict=True))


def _certainty(log_q: Floats, _: slice) -> Floats:
    """Return the three of each row, (N, 3)."""
    q = np.exp(log_q)
    ordered = np.sort(q, axis=1)
    second = ordered[:, -2] if q.shape[1] > 1 else 0.0
    with np.errstate(invalid="ignore"):
        entropy = -np.where(q > 0, q * log_q, 0.0).sum(1)
    return np.stack([ordered[:, -1], ordered[:, -1] - second, entropy], axis=1)


class Case:
    """What is known of a case by now; another object once more is known.

    Args:
        folder: where it lies.

    Raises:
        BadInput: there is no case.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name
        self._stamps: dict[str, int] = {}  # of each part, when it was first read
        try:
            self.about = About.model_validate_json((folder / "about.json").read_text())
        except (OSError, ValueError) as error:
            raise BadInput(
                f"There is no comparison {folder.name!r} on this machine; open its two models again."
            ) from error

    @property
    def classes(self) -> tuple[str, ...]:
        """One name per class."""
        return self.about.classes

    @property
    def rows(self) -> Rows:
        """Both models' answers.

        Raises:
            BadInput: they have not been measured yet, or are damaged.
        """
        path = self.folder / "rows.npz"
        return _rows(path, written_ns(path))

    @property
    def pictures(self) -> np.ndarray | None:
        """(N, K, H, W) uint8 or (N, F) float32, read as they are needed; None where the rows are not at hand."""
        path = self.folder / "pictures.npy"
        return _pictures(path, written_ns(path)) if path.exists() else None

    def part(self, name: str) -> Arrays:
        """Return the arrays that a task has measured; {} while there are none. They are not to be written to."""
        path = self.folder / f"{name}.npz"
        stamp = written_ns(path)
        self._stamps.setdefault(name, stamp)
        return _part(path, stamp) if stamp else {}

    def outdated(self, name: str) -> bool:
        """Whether a part has changed since this object first gave it, so that what was made of it is no longer true."""
        stamp = written_ns(self.folder / f"{name}.npz")
        return self._stamps.get(name, stamp) != stamp

    def progress(self, name: str) -> Progress | None:
        """How far a task is; None where it was not asked for."""
        return progress(self.folder, name)

    @cached_property
    def columns(self) -> dict[str, Floats]:
        """(N,) numbers of every row by name: those that were given or measured, and those of the answers."""
        told = {**self.part("columns"), **self.part("clusters")}
        given = {name: np.asarray(values, dtype=np.float64) for name, values in told.items()}
        return {**given, **self.rows.columns}


def purge(older_than_s: float) -> list[str]:
    """Forget cases that nobody has looked at for that long, files and all; their names."""
    before = time.time() - older_than_s
    gone = [path.parent for path in (home() / FOLDER).glob("*/about.json") if 0 < written_ns(path) < before * 1e9]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in gone]


def folder_of(case_id: str) -> Path:
    """Where a case lies."""
    return home() / FOLDER / case_id


def progress(folder: Path, name: str) -> Progress | None:
    """How far a task of a case is; None where it was not asked for."""
    try:
        return Progress.model_validate_json((folder / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None


def tell(folder: Path, name: str, told: Progress) -> None:
    """Say how far a task is."""
    write_text(folder / f"{name}.json", told.model_dump_json())


def write_about(folder: Path, about: About) -> None:
    """Write who is compared; it comes last, since with it there is a case."""
    write_text(folder / "about.json", about.model_dump_json())


@kept
def _rows(path: Path, _: int) -> Rows:
    found = read_arrays(path)
    if "student_logits" not in found:
        raise BadInput("The two models have not answered yet, or their answers are damaged; open them again.")
    labels = found["labels"].astype(np.int64)
    return Rows(
        labels=labels,
        student=found["student_logits"],
        teacher=found.get("teacher_logits"),
        index=found.get("index", np.arange(len(labels))).astype(np.int64),
        probe=found.get("probe", np.arange(0)).astype(np.int64),
    )


@lru_cache(4)
def _pictures(path: Path, _: int) -> np.ndarray:
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


@kept
def _part(path: Path, _: int) -> Mapping[str, np.ndarray]:
    return read_arrays(path)
