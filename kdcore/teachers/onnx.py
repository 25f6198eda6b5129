"""A teacher in an ONNX file that a person uploaded, answered by onnxruntime on one thread of the CPU.

The file is tried, and then run, in a process of its own: what takes too much memory or time, crashes, keeps its
tensors in other files, has operators beyond the standard's, or reads and answers other shapes than the data's is
refused with a sentence. Nothing is resized.

Source: the file format and its operators are those of ONNX, https://onnx.ai/onnx/intro/; onnxruntime runs them.

Departs from it: only models of one input, images (B, K, H, W), features (B, F) or grey images as flat rows (B, H * W),
are taken, and answers (B, C) or (B, C, 1, 1) in floating point, or class numbers: integers (B,) or (B, 1), which are
labels and tell no more. The first output with a number for each class counts, without any the first of class numbers;
what is no tensor of numbers, such as scikit-learn's ZipMap, is passed over. Files with
external data or operators of other domains are refused.

Zero when: never; a teacher has no loss.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.contracts.service import Answered, Line
from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.teachers import _trial
from kdcore.teachers._apart import Apart
from kdcore.teachers._labels import are_numbers, check_grade, telling
from kdcore.teachers._pixels import Reader, as_tensor, check_classes, check_shape

BATCH = 64  # images at once, where the file takes any number
PATIENCE_S = _trial.PATIENCE_S


class OnnxTeacher(Reader):
    """An uploaded ONNX file."""

    title: ClassVar[str] = "ONNX file"
    says: ClassVar[str] = (
        "A model in one ONNX file. It runs in a process of its own, with little memory and time for each answer. If it "
        "answers with class numbers, it tells labels alone."
    )
    upload: ClassVar[str] = "onnx"
    required: ClassVar[dict[str, str]] = {"file": "its file: upload one"}
    file: str = Field("", description="Name of the uploaded file, as `kdlab upload FILE` prints it.")

    def connect(self, shape: tuple[int, ...], classes: int, access: Access = "labels") -> Line:
        """Return the line to the file, once it has been tried.

        Raises:
            BadInput: also where the file is refused.
        """
        self.check_scale(shape)
        path = uploads.path(self.file, self.upload)
        facts = _facts(path, shape)
        if not facts["flat"]:
            check_shape(tuple(facts["reads"][1:]), shape)
        output = _output(facts, classes, access)
        if access != "labels" and any(one["name"] == output and one["probable"] for one in facts["outputs"]):
            self.ask_back()
        if facts["dtype"] == "uint8" and self.scale != "bytes":
            raise BadInput(f"The teacher reads bytes, but its scale is {self.scale!r}; set the scale to 'bytes'.")
        return _Opened(self, path, facts, output, classes, access)

    def made_for(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the sides that the file fixes, and those of the data where it takes any."""
        reads = _facts(uploads.path(self.file, self.upload), shape)["reads"][1:]
        if len(reads) != len(shape):
            return None
        return tuple(mine if size is None else size for size, mine in zip(reads, shape, strict=True))


class _Opened:
    """The line to an open file."""

    def __init__(
        self, reader: Reader, path: Path, facts: dict[str, Any], output: str, classes: int, access: Access
    ) -> None:
        self.file = Apart(path, output)
        self.reader, self.batch, self.dtype = reader, facts["reads"][0], np.dtype(facts["dtype"])
        self.flat, self.classes, self.access = facts["flat"], classes, access

    def __call__(self, images: Tensor) -> Answered:
        x = self.reader.fed(images)
        x = x.reshape(len(x), -1) if self.flat else x
        x = (x.round() if self.dtype == np.uint8 else x).astype(self.dtype, copy=False)
        size = self.batch or BATCH
        answers = np.concatenate([self._answer(x[start : start + size]) for start in range(0, len(x), size)])
        told = self.reader.read(answers, self.classes, self.access)
        return Answered(as_tensor(told.logits), strange=told.strange)

    def _answer(self, x: np.ndarray) -> np.ndarray:
        """Answers to at most one batch, filled up with black images where the file wants whole ones."""
        missing = (self.batch or 0) - len(x)
        if missing > 0:
            x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
        return self.file(x)[: len(x) - max(0, missing)]


def _output(facts: dict[str, Any], classes: int, access: Access) -> str:
    """Return the name of the output that counts.

    Raises:
        BadInput: it cannot be read, or tells less than `access` grants.
    """
    said = [(np.dtype(one["dtype"]).kind, one["shape"]) for one in facts["outputs"]]
    place = telling(said, classes)
    (kind, shape), found = said[place], facts["outputs"][place]
    if are_numbers(kind, shape, classes) and shape[0] == (facts["reads"][0] or _trial.PROBES):
        check_grade(access)
    elif kind == "f" and len(shape) == 2:
        check_classes(shape[1], classes)
    else:
        raise BadInput(
            "The teacher must answer with a row of logits or probabilities an image, or a class number as an integer, "
            f"but gives {found['dtype']} of {shape}."
        )
    return str(found["name"])


@lru_cache(16)
def _facts(path: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return what a process of its own found out about a file.

    Raises:
        BadInput: it refuses the file, or ended otherwise than by answering.
    """
    return _trial.apart(path, shape, PATIENCE_S)
