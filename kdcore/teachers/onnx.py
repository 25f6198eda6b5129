"""A teacher in an ONNX file that a person uploaded, answered by onnxruntime on one thread of the CPU.

The file is tried in a process of its own before it is opened here: what takes too much memory or time, crashes, keeps
its tensors in other files, has operators beyond the standard's, or reads and answers other shapes than the data's is
refused with a sentence. Nothing is resized.

Source: the file format and its operators are those of ONNX, https://onnx.ai/onnx/intro/; onnxruntime runs them.

Departs from it: only models of one input, images (B, K, H, W) or features (B, F), and answers (B, C) in floating point
are taken; the first output counts. Files with external data or operators of other domains are refused.

Zero when: nothing; a teacher has no loss.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from kdcore import uploads
from kdcore.errors import BadInput
from kdcore.service import Answered, Line
from kdcore.teachers import _trial
from kdcore.teachers._pixels import Reader, as_tensor, check_classes, check_shape

BATCH = 64  # images at once, where the file takes any number
PATIENCE_S = 3 * _trial.TIME_S  # of the clock, where other processes want the processor too


class OnnxTeacher(Reader):
    """An uploaded ONNX file."""

    title: ClassVar[str] = "ONNX file"
    file: str = Field("", description="Name of the uploaded file, as `kdlab upload FILE` prints it.")

    def connect(self, shape: tuple[int, ...], classes: int) -> Line:
        """The line to the file, once it has been tried.

        Raises:
            BadInput: also where the file is refused.
        """
        self.check_scale(shape)
        path = uploads.path(self.file, "onnx")
        facts = _facts(path, shape)
        if facts["dtype"] not in _trial.DTYPES.values():
            raise BadInput(f"The teacher reads {facts['dtype']}, but images are floats or bytes; export it for those.")
        check_shape(tuple(facts["reads"][1:]), shape)
        if len(facts["answers"]) != 2 or not facts["numbers"]:
            raise BadInput(
                f"The teacher must answer with a row of logits or probabilities an image, but gives {facts['answers']}."
            )
        check_classes(facts["answers"][1], classes)
        if facts["dtype"] == "uint8" and self.scale != "bytes":
            raise BadInput(f"The teacher reads bytes, but its scale is {self.scale!r}; set the scale to 'bytes'.")
        return _Opened(self, path.read_bytes(), facts["reads"][0], facts["dtype"])

    def made_for(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The sides that the file fixes, and those of the data where it takes any."""
        reads = _facts(uploads.path(self.file, "onnx"), shape)["reads"][1:]
        if len(reads) != len(shape):
            return None
        return tuple(mine if size is None else size for size, mine in zip(reads, shape, strict=True))


class _Opened:
    """The line to an open file."""

    def __init__(self, reader: Reader, content: bytes, batch: int | None, dtype: str) -> None:
        _trial.check(content)
        self.session = _trial.session(content)
        self.reader, self.batch, self.dtype = reader, batch, np.dtype(dtype)

    def __call__(self, images: Tensor) -> Answered:
        x = self.reader.fed(images)
        x = (x.round() if self.dtype == np.uint8 else x).astype(self.dtype, copy=False)
        size = self.batch or BATCH
        told = [self._answer(x[start : start + size]) for start in range(0, len(x), size)]
        return Answered(as_tensor(self.reader.told(np.concatenate(told).astype(np.float32))))

    def _answer(self, x: np.ndarray) -> np.ndarray:
        """Answers to at most one batch, filled up with black images where the file wants whole ones."""
        missing = (self.batch or 0) - len(x)
        if missing > 0:
            x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
        return _trial.answer(self.session, x)[: len(x) - max(0, missing)]


@lru_cache(16)
def _facts(path: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """What a process of its own found out about a file.

    Raises:
        BadInput: it refuses the file, or ended otherwise than by answering.
    """
    command = [sys.executable, "-m", "kdcore.teachers._trial", str(path)]
    try:
        done = subprocess.run(
            command, input=json.dumps(shape) + "\n", capture_output=True, text=True, timeout=PATIENCE_S
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise BadInput(
            f"The ONNX file crashed or took more than {_trial.TIME_S} s or {_trial.MEMORY_BYTES >> 30} GB over a first "
            "answer, so it was not opened here; give a smaller model."
        ) from error
    if "error" in found:
        raise BadInput(found["error"])
    return found
