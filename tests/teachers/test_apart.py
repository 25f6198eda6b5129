"""An ONNX file that has passed its trial runs in a process of its own, within the limits of the trial."""

from pathlib import Path

import numpy as np
import pytest
import torch
from files import ENDLESS, SHAPE, flattened, linear
from onnx import TensorProto, helper

from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.teachers import _trial
from kdcore.teachers import onnx as teacher_file
from kdcore.teachers._apart import Apart
from kdcore.teachers.onnx import OnnxTeacher

pytestmark = pytest.mark.usefixtures("home")
IMAGES = torch.rand(7, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is tried in this process, which takes a second less."""
    monkeypatch.setattr(teacher_file, "_facts", _trial.tried)


BRIGHT = helper.make_node("ReduceMax", ["x"], ["bright"], keepdims=0)  # 0 of the black images of the trial


def test_a_file_that_loops_on_some_images_is_stopped_during_the_run() -> None:
    loops = flattened(
        BRIGHT, helper.make_node("Mul", ["bright", "large"], ["turns"]),
        helper.make_node("Cast", ["turns"], ["often"], to=TensorProto.INT64),
        ENDLESS, helper.make_node("Cast", ["spins"], ["extra"], to=TensorProto.FLOAT),
        large=np.array(1e18, np.float32), on=np.array(True),
    )  # fmt: skip
    line = OnnxTeacher(file=uploads.keep(loops)).connect(SHAPE, 16)
    assert line.file.patience_s == _trial.PATIENCE_S  # type: ignore[attr-defined]
    assert line(IMAGES * 0).logits.shape == (7, 16)
    line.file.patience_s = 0.5  # type: ignore[attr-defined]
    for _ in range(2):  # it stays stopped
        with pytest.raises(BadInput, match="crashed or took more than 60 s or 4 GB over an answer"):
            line(IMAGES)
    assert line.file._process.returncode is not None  # type: ignore[attr-defined]


def test_a_file_that_takes_all_memory_on_some_images_is_told_and_goes_on() -> None:
    hungry = flattened(
        BRIGHT, helper.make_node("Mul", ["bright", "sides"], ["floats"]),
        helper.make_node("Cast", ["floats"], ["size"], to=TensorProto.INT64),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["extra"], keepdims=0), sides=np.array([1e6, 1e6], np.float32),
    )  # fmt: skip
    line = OnnxTeacher(file=uploads.keep(hungry)).connect(SHAPE, 16)
    with pytest.raises(BadInput, match="needs more than 4 GB of memory"):
        line(IMAGES)
    assert line(IMAGES * 0).logits.shape == (7, 16)


def test_the_limits_of_the_trial_hold_for_every_answer(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(linear().SerializeToString())
    opened = Apart(file, "y")
    images = IMAGES.numpy()
    limits = []
    for _ in range(2):
        opened(images)
        said = Path(f"/proc/{opened._process.pid}/limits")
        if not said.exists():
            pytest.skip("this system does not tell the limits of a process")
        limits.append({line[:26].strip(): line[26:].split()[0] for line in said.read_text().splitlines()[1:]})
    for told in limits:
        assert _trial.TIME_S < int(told["Max cpu time"]) < 3 * _trial.TIME_S
        assert int(told["Max address space"]) < 3 * _trial.MEMORY_BYTES


def test_its_process_ends_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(linear().SerializeToString())
    opened = Apart(file, "y")
    process = opened._process
    del opened
    assert process.wait(60) is not None
    file.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="no ONNX model"):
        Apart(file, "y")
