"""What is wrong with an uploaded file is said when it comes, and nothing of it is kept."""

from pathlib import Path

import numpy as np
import pytest
from files import linear, outside
from onnx import TensorProto, helper
from safetensors.numpy import save

from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.spec.spec import Choice, Spec, Wall
from kdcore.upload_checks.before_run import check_file
from kdcore.upload_checks.on_upload import receive

WEIGHTS = save({"w": np.zeros(2, np.float32)})


def two_inputs() -> bytes:
    made = linear()
    made.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch"]))
    content: bytes = made.SerializeToString()
    return content


def test_what_can_be_used_is_kept(home: Path) -> None:
    for content in (linear().SerializeToString(), WEIGHTS):
        assert (home / "uploads" / receive(content)).read_bytes() == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (outside("model.onnx.data").SerializeToString(), r"external_data=False"),
        (linear().SerializeToString()[:-40], r"no ONNX model, or is cut off"),
        (two_inputs(), r"must read one input, images, but the ONNX file has 2: x, mask"),
        (linear(kind=TensorProto.INT64).SerializeToString(), r"images are floats or bytes"),
        (WEIGHTS[:-4], r"safetensors file is damaged or cut off"),
        (save({}), r"holds no tensors"),
        (b"PK\x03\x04 archive", r"looks like a pickle or a zip"),
    ],
)
def test_what_cannot_is_told_and_not_kept(home: Path, content: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        receive(content)
    assert "\n" not in str(caught.value)
    assert not list(home.rglob("*.*"))


def test_what_was_there_before_stays_though_it_is_refused(home: Path) -> None:
    content = outside("model.onnx.data").SerializeToString()
    name = uploads.keep(content)
    with pytest.raises(BadInput):
        receive(content)
    assert (home / "uploads" / name).exists()


def run_of(service: str, **knobs: object) -> Spec:
    return Spec(
        student=Choice(name="cnn"),
        service=Choice(name=service, knobs=knobs),
        access="probabilities",
        wall=Wall(),
        method=Choice(name="kd"),
    )


def test_a_file_for_other_data_is_told_before_a_run_of_it_starts(home: Path) -> None:  # noqa: ARG001
    name = receive(linear((1, 8, 8), 7).SerializeToString())
    with pytest.raises(BadInput, match=r"^The teacher tells 7 classes apart, but the data have 10"):
        check_file(run_of("onnx", file=name))
    soft = receive(linear((1, 8, 8), 10, softmax=True).SerializeToString())
    with pytest.raises(BadInput, match=r"look like probabilities"):
        check_file(run_of("onnx", file=soft))
    check_file(run_of("onnx", file=soft, answers="probabilities"))
    with pytest.raises(BadInput, match=r"do not say what network they are of"):
        check_file(run_of("weights", file=receive(WEIGHTS)))


def test_no_server_is_asked_for_it() -> None:
    check_file(run_of("http", model="nobody's"))
