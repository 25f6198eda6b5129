"""A run as it lies on disk and in the store, for those who look: numpy and events, no torch.

A run's folder:
    static.npz           what does not change: probe rows, teacher's answers, the plane's extent
    frames/00000120.npz  one recorded frame per file, by step
    live/frame.npz       the newest frame while somebody looks; never part of the record
    live/field.npz       the newest decision field, faster and smaller
    checkpoints/         what a resume needs
    student.safetensors  the weights after the last step
    by_hand.json         of a record: how many queries were sent by hand before it was exported

Static arrays (N probe rows, C classes, R x R plane):
    probe_index (N,), probe_labels (N,), probe_x (N, K, H, W) uint8 or (N, F) float32, teacher_logits (N, C) float32,
    and where the teacher has maps teacher_maps (M, h, w) float32: where it looks for its own answers to the first M
    probe rows (Grad-CAM);
    for 2-D data also extent (4,) as x0, x1, y0, y1, train_points (M, 2), train_labels (M,),
    teacher_field_class (R, R) uint8, teacher_field_share (R, R) uint8 (255 = probability 1).
    Of an exported run withheld (M,) text names the arrays that were left out, there or in frames, as they show rows of
    the edge. Which these are stands in `kdcore.runs.private_rows`, which has to know every array named here.
Frame arrays: step (), student_logits (N, C) float32, gradient_names (T,), gradient_norms (T,) and
    gradient_cosines (T, T) of the loss terms' gradients on the student's weights; with a teacher cka (S, T) float32,
    how alike the pooled features of each stage of student and teacher are on the probe rows, and student_maps
    (M, h, w) float32, where the student looks for the teacher's answers; for 2-D data also field_class
    (R, R) uint8, field_share (R, R) uint8 and field_teacher_share (R, R) uint8: the student's probability of the
    teacher's class, so that disagreement is that minus teacher_field_share. Row 0 of a plane is y0 (the bottom).
    What the method shows of itself is named own_<name>: own_target (N, C) probabilities it asks the student for,
    own_temperature (N,), own_paths (P, N, C) logits of other paths from input to classes, and whatever else it likes.
Of a source that makes its images, static: local_x (18, K, H, W) uint8; and of the latent plane through three classes
    cells_classes (3,), cells_corners (3, 2) and cells_extent (4,) as x0, x1, y0, y1. In a frame made_x (36, K, H, W)
    uint8, made_logits (36, C) the teacher's; made_to_local and made_to_held (L,) distances to the nearest image,
    made_copied (L,) which match or equal a local one, nearest_real (2,) how many local and other images are the nearest
    to some made one;
    inverse_teacher and inverse_student (12, K, H, W) uint8, images of both answers to the first probe rows, and what
    the teacher says of them as inverse_teacher_logits and inverse_student_logits (12, C); cells_teacher and
    cells_student (R, R) uint16 classes, row 0 below. What a teacher was not asked is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from kdcore.atomic import replacing
from kdcore.errors import BadInput
from kdcore.events import Asked, Changed, Evaluated, Event, Finished, Frame, Meter, Started, Step
from kdcore.runs.bill import outlays
from kdcore.runs.by_hand import by_hand
from kdcore.spec.spec import Spec
from kdcore.untrusted import parsing, unzipping

Arrays = Mapping[str, np.ndarray]
WITHHELD = "withheld"
MOST_ARRAYS = 1_000  # in one file; a frame has about twenty, a case a column for each that a person gave


@dataclass(frozen=True)
class Record:
    """What probes read."""

    spec: Spec
    started: Started | None = None
    steps: tuple[Step, ...] = ()
    evaluations: tuple[Evaluated, ...] = ()
    changes: tuple[Changed, ...] = ()
    frames: tuple[Frame, ...] = ()
    asked: tuple[Asked, ...] = ()
    ended: Finished | None = None
    static: Arrays = field(default_factory=dict)
    frame: Arrays = field(default_factory=dict)
    by_hand: int = 0  # queries that a person sent to its remote teacher, which are part of the budget
    learner: str = "student"  # what the network that is trained is to those who look: "teacher" while that trains first

    @property
    def step(self) -> int:
        """The step of the frame on show, or of the newest event."""
        if "step" in self.frame:
            return int(self.frame["step"])
        return self.steps[-1].step if self.steps else 0

    @property
    def meters(self) -> list[tuple[int, Meter]]:
        """Steps and what asking the teacher had taken by them, interruptions included; [] where nobody counts."""
        told: tuple[Step | Asked | Finished, ...] = (*self.steps, *self.asked, *([self.ended] if self.ended else []))
        in_order = sorted(told, key=lambda event: event.step)  # a step's last word is not that of its loss point
        return list(outlays((event.step, event.meter) for event in in_order if event.meter).items())

    @property
    def withheld(self) -> frozenset[str]:
        """Names of the arrays that were left out when the run was exported."""
        return frozenset(self.static[WITHHELD].tolist()) if WITHHELD in self.static else frozenset()


def write_arrays(path: Path, arrays: Arrays, compress: bool = True) -> None:
    """Write an npz, whole or not at all."""
    with replacing(path) as draft, draft.open("wb") as out:  # given a path, numpy adds an ending
        (np.savez_compressed if compress else np.savez)(out, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz, never unpickled; {} when the file is absent or damaged, or has more than a run
    writes.
    """
    try:
        with parsing(f"{path} cannot be read", "write it anew"), unzipping(path, MOST_ARRAYS) as stored:
            return whole_arrays(stored)
    except BadInput:
        return {}


def whole_arrays(stored: ZipFile) -> dict[str, np.ndarray]:
    """Return the arrays of an open npz, never unpickled; to be called inside of `parsing`.

    Raises:
        Exception: whatever numpy and zipfile raise at one that cannot be read.
    """
    return {name.removesuffix(".npy"): _array(stored, name) for name in stored.namelist()}


def read_array(path: Path, name: str) -> np.ndarray | None:
    """One array of an npz, without reading the rest of it; None where there is none that can be read."""
    try:
        with parsing(f"{path} cannot be read", "write it anew"), unzipping(path, MOST_ARRAYS) as stored:
            return _array(stored, f"{name}.npy")
    except BadInput:
        return None


def _array(stored: ZipFile, name: str) -> np.ndarray:
    with stored.open(name) as file:
        found: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        return found


def read_frame(folder: Path, file: str) -> dict[str, np.ndarray]:
    """Return the arrays of a recorded frame by the path that its run tells; {} where that leads out of the run's
    folder.
    """
    path = (folder / file).resolve()
    return read_arrays(path) if path.is_relative_to(folder.resolve()) else {}


def gather(
    spec: Spec,
    events: list[Event],
    folder: Path,
    frame: Arrays | None = None,
    until: int | None = None,
    static: Arrays | None = None,
    learner: str = "student",
) -> Record:
    """Return the record of a run up to step `until` (everything when None), with `frame` on show.

    `static` spares reading the folder's static arrays again; `learner` is what the trained network is called.
    """
    seen = [event for event in events if until is None or event.step <= until]
    began = next((event for event in reversed(seen) if isinstance(event, Started)), None)
    return Record(
        spec=spec,
        started=began,
        by_hand=by_hand(folder, len(began.classes)).images if began and spec.remote else 0,
        steps=tuple(event for event in seen if isinstance(event, Step)),
        evaluations=tuple(event for event in seen if isinstance(event, Evaluated)),
        changes=tuple(event for event in seen if isinstance(event, Changed)),
        frames=tuple(event for event in seen if isinstance(event, Frame)),
        asked=tuple(event for event in seen if isinstance(event, Asked)),
        ended=next((event for event in reversed(seen) if isinstance(event, Finished)), None),
        static=read_arrays(folder / "static.npz") if static is None else static,
        frame=frame or {},
        learner=learner,
    )


def stamp_of(folder: Path) -> int:
    """Return a number that changes when a run's weights do; 0 where there are none yet."""
    ended = folder / "student.safetensors"
    kept = [ended] if ended.exists() else sorted((folder / "checkpoints").glob("*.safetensors"))[-1:]
    return written_ns(kept[0]) if kept else 0  # a checkpoint goes when a newer one is there


def written_ns(path: Path) -> int:
    """When a file was written, in unix nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # perhaps since it was listed
        return 0
