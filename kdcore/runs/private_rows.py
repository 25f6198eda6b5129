"""What of a run's record shows rows of the edge: one list, by which everything that leaves this machine is made.

Behind a wall the rows are private: local and held-out images or points, and what is made of them. Every array of
`kdcore.runs.record` is in PRIVATE, in SHARED, or is MADE; an array that is in none is kept back, so a new one has to be
declared before it can leave. Pictures that a source made leave as they were sent, those apart that show a local image.
Weights leave, but not a source's pool of local images. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from kdcore.runs.record import WITHHELD, Arrays, Record, read_arrays
from kdcore.spec.catalogue import entry
from kdcore.spec.spec import Spec

PRIVATE = frozenset({
    "probe_x", "train_points", "train_labels", "local_x", "teacher_maps", "student_maps", "inverse_teacher",
    "inverse_student", "own_explanation_student", "own_explanation_teacher",
})  # fmt: skip
SHARED = frozenset({
    "step", "probe_index", "probe_labels", "teacher_logits", "student_logits", "extent", "teacher_field_class",
    "teacher_field_share", "field_class", "field_share", "field_teacher_share", "gradient_names", "gradient_norms",
    "gradient_cosines", "cka", "cells_classes", "cells_corners", "cells_extent", "cells_teacher", "cells_student",
    "made_logits", "made_to_local", "made_to_held", "made_copied", "nearest_real", "inverse_teacher_logits",
    "inverse_student_logits", "own_target", "own_temperature", "own_paths", "own_gap", "own_share",
    "own_forward_weight", "own_image_pull", "own_kl_pull", "own_pull_cosine",
})  # fmt: skip
MADE = "made_x"  # leaves picture by picture
SOURCE = "source.safetensors"


def walled(spec: Spec) -> bool:
    """Whether a run's rows are those of an edge that asks a teacher behind a wall."""
    return spec.wall is not None


def public(arrays: Arrays, spec: Spec) -> dict[str, np.ndarray]:
    """Return the arrays without those that show rows of the edge."""
    kept = {name: array for name, array in arrays.items() if name in SHARED}
    return kept if MADE not in arrays or _local(spec) else kept | _made(arrays)


def withheld(arrays: Arrays, spec: Spec) -> set[str]:
    """Names of the arrays that `public` leaves out, and of those that were left out before."""
    return set(arrays) - {WITHHELD} - set(public(arrays, spec)) | set(arrays.get(WITHHELD, np.array([])).tolist())


def _made(arrays: Arrays) -> dict[str, np.ndarray]:
    """Pictures that show no local image, and what the teacher says of each."""
    known = arrays.get("made_copied")
    if known is None:
        return {MADE: arrays[MADE]}
    own = ~known[: len(arrays[MADE])]
    shown = {name: arrays[name][own] for name in (MADE, "made_logits") if name in arrays}
    return shown | {"made_copied": np.zeros(int(own.sum()), dtype=bool)}


def _local(spec: Spec) -> bool:
    """Whether what the source makes shows local images."""
    return bool(entry("source", spec.source.name)["local"])


def without_rows(record: Record) -> Record:
    """Return a record that anybody may see."""
    spec, static, frame = record.spec, record.static, record.frame
    gone = withheld(static, spec) | withheld(frame, spec)
    return replace(record, static=public(static, spec) | _named(gone), frame=public(frame, spec))


def files(folder: Path, spec: Spec) -> Iterator[tuple[Path, dict[str, np.ndarray] | None]]:
    """Yield what of a run's folder may leave, by its path: public arrays, or None for a file that leaves as it is."""
    static, gone = read_arrays(folder / "static.npz"), set()
    for path in sorted(folder.glob("frames/*.npz")):
        arrays = read_arrays(path)
        gone |= withheld(arrays, spec)
        yield path, public(arrays, spec)
    yield folder / "static.npz", public(static, spec) | _named(gone | withheld(static, spec))
    for path in sorted(folder.glob("*.safetensors")):
        if path.name != SOURCE or not _local(spec):
            yield path, None


def _named(gone: set[str]) -> dict[str, np.ndarray]:
    return {WITHHELD: np.array(sorted(gone))} if gone else {}
