"""Teachers behind a wall: the remote one's images a second beside raw onnxruntime, and an answer from memory beside
one that is asked for.

The remote teacher is asked over the wire of this machine, by a server in a process of its own that answers with the
same ONNX file; both have one thread. Batches are of 64 images of 3 x 32 x 32 pixels, tensors as bytes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from kdcore.contracts.service import Line
from kdcore.engine.teacher import Teacher
from kdcore.remote.protocol import HEAD_LENGTH, pack, unpack
from kdcore.spec.spec import Wall
from kdcore.teachers import _trial
from kdcore.teachers.http import HttpTeacher

ROUNDS = 5
BATCHES = 12  # in a round
SHAPE, CLASSES, BATCH = (3, 32, 32), 100, 64
WIDTHS = (3, 32, 64, 64)
Row = dict[str, Any]


def network() -> bytes:
    """Three convolutions of stride 2 and a linear layer, 0.05 GFLOP for ten images."""
    rng = np.random.default_rng(0)
    nodes, held, last = [], {}, "x"
    for place, (fan_in, fan_out) in enumerate(pairwise(WIDTHS)):
        held[f"w{place}"] = (rng.normal(size=(fan_out, fan_in, 3, 3)) / fan_in).astype(np.float32)
        nodes += [
            helper.make_node("Conv", [last, f"w{place}"], [f"c{place}"], pads=[1] * 4, strides=[2, 2]),
            helper.make_node("Relu", [f"c{place}"], [f"r{place}"]),
        ]
        last = f"r{place}"
    held["w"] = rng.normal(size=(WIDTHS[-1] * 16, CLASSES)).astype(np.float32)
    nodes += [helper.make_node("Flatten", [last], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )  # fmt: skip
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """A server in few lines that answers with the network; `uvicorn` runs it by this name."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    content, headers = _said(scope, body)
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": told})
    await send({"type": "http.response.body", "body": content})


def _said(scope: Any, body: bytes) -> tuple[bytes, dict[str, str]]:
    if not body:
        return b'{"extensions": ["binary_tensor_data"]}', {}
    heard = dict(scope["headers"])
    x = unpack("inputs", body, heard[HEAD_LENGTH.lower().encode()].decode()).tensors["input-0"]
    return pack("outputs", {"y": _trial.answer(SESSION, x)[0]}, {}, binary=True)


SESSION = _trial.session(network()) if __name__ == "tests.bench.teachers" else None


@contextmanager
def served() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    code = (
        "import sys, uvicorn; from kdcore.remote.listen import listen; from tests.bench.teachers import application;"
        "one = listen('127.0.0.1', 0); print(one.getsockname()[1], flush=True);"
        "uvicorn.Server(uvicorn.Config(application, lifespan='off', log_config=None, access_log=False)).run([one])"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def images(seed: int) -> torch.Tensor:
    return torch.rand(BATCH, *SHAPE, generator=torch.Generator().manual_seed(seed))


def per_image_s(ask: Callable[[torch.Tensor], object], seeds: Iterator[int]) -> float:
    """Seconds an image over one round of batches that were not seen before."""
    batches = [images(next(seeds)) for _ in range(BATCHES)]
    began = time.perf_counter()
    for batch in batches:
        ask(batch)
    return (time.perf_counter() - began) / (BATCHES * BATCH)


def beside(name: str, ours: Callable[[torch.Tensor], object], raw: Callable[[torch.Tensor], object]) -> Iterator[Row]:
    """Images a second of ours, as such and over those of `raw`, in turn."""
    seeds = count(1)
    per_image_s(ours, seeds), per_image_s(raw, seeds)
    pairs = [(per_image_s(ours, seeds), per_image_s(raw, seeds)) for _ in range(ROUNDS)]
    ratios = sorted(theirs / own for own, theirs in pairs)
    yield {
        "what": f"{name}, over raw onnxruntime",
        "ratio": statistics.median(ratios),
        "from": ratios[0],
        "to": ratios[-1],
    }
    yield {"what": name, "value": 1 / statistics.median(own for own, _ in pairs), "unit": "images/s"}


def walled(line: Line, folder: Path) -> Teacher:
    return Teacher(line, "logits", wall=Wall(), folder=folder, classes=CLASSES)


def remembered(teacher: Teacher) -> Iterator[Row]:
    """A batch from memory beside the same batch asked for."""
    speedups = []
    for seed in range(-ROUNDS, 0):
        batch, times_s = images(2**31 + seed), [time.perf_counter()]
        for _ in range(2):
            teacher(batch)
            times_s.append(time.perf_counter())
        speedups.append((times_s[1] - times_s[0]) / (times_s[2] - times_s[1]))
    speedups.sort()
    told = {"ratio": statistics.median(speedups), "from": speedups[0], "to": speedups[-1], "at least": 1.0}
    yield {"what": "a remembered answer / one asked for over the wire", **told}


def rows() -> Iterator[Row]:
    """Every figure of this file."""
    torch.set_num_threads(1)
    session = _trial.session(network())
    with served() as url, tempfile.TemporaryDirectory() as place:
        line = HttpTeacher(url=url, model="net", batch=BATCH).connect(SHAPE, CLASSES)
        teacher = walled(line, Path(place))
        yield from beside("remote teacher, its line alone", line, lambda x: _trial.answer(session, x.numpy())[0])
        yield from beside("remote teacher behind a wall", teacher, lambda x: _trial.answer(session, x.numpy())[0])
        yield from remembered(teacher)
