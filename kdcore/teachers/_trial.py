"""Tries an uploaded ONNX file in a process of its own, which may use little memory and time and may die.

`python -m kdcore.teachers._trial FILE` reads the shape of one input as JSON from stdin (null where the data are not
known), asks the file about black images, and prints one line of JSON: what it reads and answers, or the sentence that
refuses it. A file is checked as a protobuf first, so nothing it refers to is opened and no operator that is not the
standard's own is loaded.
"""

from __future__ import annotations

import json
import math
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdcore.errors import BadInput, gist
from kdcore.files.logit_check import flat, probable
from kdcore.terminal import say

MEMORY_BYTES = 4 << 30  # beside the file itself, read twice
TIME_S = 60
PATIENCE_S = 3 * TIME_S  # of the clock, where other processes want the processor too
STANDARD = ("", "ai.onnx", "ai.onnx.ml")
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
ANSWERS = re.compile(r"tensor\((float|float16|double|u?int\d+)\)")  # others are passed over
PROBES = 2  # images that it is asked about where it takes any number


def limit(size_bytes: int) -> None:
    """Let the system stop this process where it takes too much memory."""
    memory = Path("/proc/self/statm")  # on Linux; elsewhere little is in use by now
    used = int(memory.read_text().split()[0]) * resource.getpagesize() if memory.exists() else 0
    most = used + MEMORY_BYTES + 4 * size_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def allow() -> None:
    """Let the system stop this process where it takes too long from now on."""
    most = int(time.process_time()) + 1 + TIME_S
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def check(content: bytes) -> None:
    """Check that a file is ONNX, whole in itself and of standard operators.

    Raises:
        BadInput: it is not.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise BadInput("The file is no ONNX model, or is cut off; export it again.") from error
    if not model.graph.node:
        raise BadInput("The ONNX file has no operators; export the model again.")
    for message in messages(model):
        if isinstance(message, onnx.TensorProto):
            _check_inside(message, onnx.TensorProto.EXTERNAL)
        elif isinstance(message, onnx.NodeProto) and message.domain not in STANDARD:
            raise BadInput(
                f"The ONNX file has an operator {message.op_type[:60]!r} of {message.domain[:60]!r}, but only the "
                "standard's own are run; export the model without it."
            )


def _check_inside(tensor: Any, external: int) -> None:
    if tensor.data_location == external or tensor.external_data:
        where = next((entry.value for entry in tensor.external_data if entry.key == "location"), "another file")
        raise BadInput(
            f"The ONNX file keeps its tensor {tensor.name[:60]!r} in {where[:60]!r}, which is not opened; export the "
            "model as one file, as torch.onnx.export(..., external_data=False) does."
        )


def messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and all inside it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if hasattr(value, "__len__") else (value,):
                yield from messages(part)


def session(content: bytes) -> Any:
    """Return a session with one thread on the CPU.

    Raises:
        BadInput: the runtime refuses the model.
    """
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _failures() as error:
        raise BadInput(f"onnxruntime cannot use the ONNX file ({reason(error)}); export the model again.") from error


def answer(session: Any, images: np.ndarray, *outputs: str) -> list[np.ndarray]:
    """Return what a session says to images in the outputs of these names.

    Raises:
        BadInput: it fails.
    """
    entry = session.get_inputs()[0]
    try:
        return [flat(np.asarray(one)) for one in session.run(list(outputs), {entry.name: images})]
    except _failures() as error:
        if "BFCArena" in str(error):  # its allocator
            raise MemoryError from error
        raise BadInput(f"The ONNX file cannot answer images {images.shape[1:]} ({reason(error)}).") from error


def _failures() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises; its errors have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [thing for thing in vars(state).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    return (*own, RuntimeError, ValueError, MemoryError)


def reason(error: Exception) -> str:
    """Return the gist of what onnxruntime says."""
    said = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ :\s*", "", gist(error, 200))
    return said.rstrip(".") or type(error).__name__


def tried(path: Path, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """Return what a file reads and answers, tried on black images of `shape`, or of the shape that it fixes itself.

    Raises:
        BadInput: it cannot be used.
    """
    content = path.read_bytes()
    check(content)
    opened = session(content)
    entries = opened.get_inputs()
    if len(entries) != 1:
        names = ", ".join(entry.name for entry in entries)[:120]
        raise BadInput(f"The teacher must read one input, images, but the ONNX file has {len(entries)}: {names}.")
    reads = [size if isinstance(size, int) else None for size in entries[0].shape]
    if entries[0].type not in DTYPES:
        raise BadInput(
            f"The teacher reads {entries[0].type[:60]}, but images are floats or bytes; export it for those."
        )
    asked = row_for(reads[1:], shape)
    facts: dict[str, Any] = {
        "reads": reads,
        "dtype": DTYPES[entries[0].type],
        "flat": shape is not None and asked not in (None, shape),
    }
    if asked is None:
        return facts
    return facts | {"outputs": outputs(opened, np.zeros((reads[0] or PROBES, *asked), facts["dtype"]))}


def row_for(reads: Sequence[int | None], shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the shape in which it can be asked about one image: that of the data, or a flat row of a grey image,
    as scikit-learn's models read; None where it reads others, or where it fixes none and the data are not known.
    """
    if shape is None:
        return None if None in reads else tuple(size for size in reads if size is not None)
    rows = [shape, *([(math.prod(shape),)] if len(shape) == 3 and shape[0] == 1 else [])]
    return next((row for row in rows if fits(reads, row)), None)


def fits(reads: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Whether sizes that a model reads, None for any, are those of `shape`."""
    return len(reads) == len(shape) and all(size in (None, mine) for size, mine in zip(reads, shape, strict=True))


def outputs(session: Any, images: np.ndarray) -> list[dict[str, Any]]:
    """Name, dtype and shape of what a session says to images in each output of numbers.

    Raises:
        BadInput: it fails, or says no tensor of numbers.
    """
    known = session.get_outputs()
    names = [one.name for one in known if ANSWERS.fullmatch(one.type)]
    if not names:
        raise BadInput(
            f"The ONNX file answers with {known[0].type[:60]}, but only tensors of numbers are read; export it so "
            "(from scikit-learn without ZipMap)."
        )
    return [
        {"name": name, "dtype": str(one.dtype), "shape": list(one.shape), "probable": _probable(one)}
        for name, one in zip(names, answer(session, images, *names), strict=True)
    ]


def _probable(answers: np.ndarray) -> bool:
    """Whether an output looks like probabilities, be it of a single image."""
    return answers.dtype.kind == "f" and answers.ndim == 2 and probable(answers.repeat(2, 0))


def apart(path: Path, shape: tuple[int, ...] | None, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """Return what a process of its own found out about a file, asked as `tried` is.

    Raises:
        BadInput: it refuses the file, or ended otherwise than by answering.
    """
    command = [sys.executable, "-m", "kdcore.teachers._trial", str(path)]
    try:
        done = subprocess.run(
            command, input=json.dumps(shape) + "\n", capture_output=True, text=True, timeout=patience_s
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise BadInput(
            f"The ONNX file crashed or took more than {TIME_S} s or {MEMORY_BYTES >> 30} GB over a first answer, so it "
            "was not opened here; give a smaller model."
        ) from error
    if "error" in found:
        raise BadInput(found["error"])
    return found


def main(path: Path) -> None:
    """One file tried, one line said."""
    limit(path.stat().st_size)
    allow()
    try:
        shape = json.loads(sys.stdin.readline())
        said = tried(path, None if shape is None else tuple(shape))
    except BadInput as error:
        said = {"error": str(error)}
    except MemoryError:
        said = {"error": f"The ONNX file needs more than {MEMORY_BYTES >> 30} GB of memory; give a smaller model."}
    say(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
