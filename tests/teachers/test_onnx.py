"""The ONNX teacher: it answers as a matrix product in numpy does, and a hostile file does no harm."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from files import CLASSES, ENDLESS, SHAPE, classifier, flattened, linear, matrix, model, outside
from onnx import TensorProto, helper, numpy_helper

from kdcore.contracts.access import Access
from kdcore.engine.teacher import Spent, Teacher
from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.spec.spec import Wall
from kdcore.teachers import _trial
from kdcore.teachers import onnx as teacher_file
from kdcore.teachers._apart import Apart
from kdcore.teachers.onnx import OnnxTeacher

pytestmark = pytest.mark.usefixtures("home")
Patch = pytest.MonkeyPatch
IMAGES = torch.rand(7, *SHAPE, generator=torch.Generator().manual_seed(0))
PIXELS = IMAGES.numpy().reshape(7, -1)


APART = teacher_file._facts


class Here:
    """A file that is open in this process."""

    def __init__(self, path: Path, output: str) -> None:
        self.session, self.output = _trial.session(path.read_bytes()), output

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return _trial.answer(self.session, images, self.output)[0]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: Patch) -> None:
    """A file is tried and run in this process, which takes seconds less."""
    monkeypatch.setattr(teacher_file, "_facts", _trial.tried)
    monkeypatch.setattr(teacher_file, "Apart", Here)


def kept(file: onnx.ModelProto | bytes) -> str:
    return uploads.keep(file if isinstance(file, bytes) else file.SerializeToString())


def asked(file: onnx.ModelProto | bytes, access: Access = "labels", **knobs: object) -> np.ndarray:
    """What the line to a file says to IMAGES."""
    line = OnnxTeacher(file=kept(file), **knobs).connect(SHAPE, CLASSES, access)  # type: ignore[arg-type]
    return line(IMAGES).logits.numpy()


@pytest.mark.parametrize("batch", ["batch", 1, 3, 7, 20])
def test_it_answers_as_numpy_does_at_any_batch(batch: object) -> None:
    assert asked(linear(batch=batch)) == pytest.approx(PIXELS @ matrix(), abs=1e-5)


@pytest.mark.parametrize(
    ("knobs", "fed"),
    [
        ({"scale": "signed"}, PIXELS * 2 - 1),
        ({"scale": "bytes"}, PIXELS * 255),
        ({"scale": "normalised", "mean": (0.25,), "std": (0.5,)}, (PIXELS - 0.25) / 0.5),
    ],
)
def test_pixels_are_fed_as_it_reads_them(knobs: dict[str, object], fed: np.ndarray) -> None:
    assert asked(linear(), **knobs) == pytest.approx(fed @ matrix(), rel=1e-4, abs=1e-4)


def test_each_channel_has_its_own_mean() -> None:
    line = OnnxTeacher(
        file=kept(linear((2, 2, 2))), scale="normalised", mean=(0.0, 0.5), std=(1.0, 2.0)
    ).connect((2, 2, 2), CLASSES)  # fmt: skip
    x = torch.rand(3, 2, 2, 2)
    fed = np.stack([x[:, 0].numpy(), (x[:, 1].numpy() - 0.5) / 2], 1).reshape(3, -1)
    assert line(x).logits.numpy() == pytest.approx(fed @ matrix(8), abs=1e-5)


def test_bytes_are_sent_as_bytes() -> None:
    told = asked(linear(kind=TensorProto.UINT8), scale="bytes")
    assert told == pytest.approx(np.round(PIXELS * 255) @ matrix(), rel=1e-4, abs=1e-3)
    with pytest.raises(BadInput, match="scale is 'unit'; set the scale to 'bytes'"):
        asked(linear(kind=TensorProto.UINT8))


def test_probabilities_come_as_their_logarithm() -> None:
    z = PIXELS @ matrix()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    assert asked(linear(softmax=True), answers="probabilities") == pytest.approx(log_p, abs=1e-4)
    with pytest.raises(BadInput, match="no probabilities"):
        asked(linear(), answers="probabilities")


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_file_that_ends_in_softmax_is_asked_about(batch: object) -> None:
    line = OnnxTeacher(file=kept(linear(softmax=True, batch=batch))).connect
    for access in ("probabilities", "logits"):
        with pytest.raises(
            BadInput, match=r"look like probabilities, .* set 'Answers' .* to 'probabilities', or to 'raw'"
        ):
            line(SHAPE, CLASSES, access)  # type: ignore[arg-type]
    p = np.exp(PIXELS @ matrix())
    p /= p.sum(1, keepdims=True)
    assert asked(linear(softmax=True, batch=batch), access="logits", answers="raw") == pytest.approx(p, abs=1e-5)
    assert line(SHAPE, CLASSES, "labels")(IMAGES).logits.argmax(1).numpy().tolist() == p.argmax(1).tolist()


def test_behind_a_wall_it_is_counted_and_its_budget_kept(tmp_path: Path) -> None:
    line = OnnxTeacher(file=kept(linear())).connect(SHAPE, CLASSES)
    teacher = Teacher(line, "labels", wall=Wall(budget=7), folder=tmp_path, classes=CLASSES)
    told = teacher(IMAGES).logits
    assert (told.argmax(1).numpy() == (PIXELS @ matrix()).argmax(1)).all()
    teacher(IMAGES)
    assert (teacher.meter.images, teacher.meter.cached) == (7, 7)
    with pytest.raises(Spent):
        teacher(IMAGES + 0.001)


def test_a_number_that_is_none_stops_with_its_query(tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Log", ["flat"], ["y"])]
    line = OnnxTeacher(file=kept(model(nodes, {}, ["b", *SHAPE], ["b", 16]))).connect(SHAPE, 16)
    teacher = Teacher(line, "logits", wall=Wall(), folder=tmp_path, classes=16)
    images = IMAGES.clamp(min=0.1)
    teacher(images[:3])
    images[5] = 0.0
    with pytest.raises(BadInput, match="query 6 is not a number"):
        teacher(images)
    assert len(teacher.paid) == 6, "what was answered besides is kept"


def test_other_shapes_and_classes_are_named() -> None:
    name = kept(linear())
    with pytest.raises(BadInput, match="reads inputs of 1x4x4, but the data are 3x4x4"):
        OnnxTeacher(file=name).connect((3, 4, 4), CLASSES)
    with pytest.raises(BadInput, match="reads inputs of 1x4x4, but the data are 1x8x8"):
        OnnxTeacher(file=name).connect((1, 8, 8), CLASSES)
    with pytest.raises(BadInput, match="tells 3 classes apart, but the data have 10"):
        OnnxTeacher(file=name).connect(SHAPE, 10)


def test_scales_that_make_no_sense() -> None:
    name = kept(linear())
    with pytest.raises(BadInput, match="std has 2 values, but images have 1 channels"):
        OnnxTeacher(file=name, scale="normalised", std=(1.0, 1.0)).connect(SHAPE, CLASSES)
    with pytest.raises(BadInput, match="must be positive"):
        OnnxTeacher(file=name, scale="normalised", std=(0.0,)).connect(SHAPE, CLASSES)
    with pytest.raises(BadInput, match="scale is 'signed'"):
        OnnxTeacher(file=name, scale="signed", mean=(0.5,)).connect(SHAPE, CLASSES)


def with_features(*names: str) -> onnx.ModelProto:
    """The linear model with some of the outputs "y", "features" (B, 16), "wide" (B, 3, 1, 1), "maps" (B, 1, 4, 4)."""
    made = linear()
    made.graph.node.append(helper.make_node("Identity", ["flat"], ["features"]))
    made.graph.node.append(helper.make_node("Identity", ["cast"], ["maps"]))
    made.graph.node.append(helper.make_node("Unsqueeze", ["logits", "last"], ["wide"]))
    made.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "last"))
    shapes = {"y": [CLASSES], "features": [16], "wide": [CLASSES, 1, 1], "maps": list(SHAPE)}
    del made.graph.output[:]
    for name in names:
        made.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shapes[name]]))
    return made


@pytest.mark.parametrize("outputs", [("features", "y"), ("maps", "features", "y"), ("wide",), ("features", "wide")])
def test_logits_are_found_behind_features_and_as_maps_of_one_pixel(outputs: tuple[str, ...]) -> None:
    told = asked(with_features(*outputs), access="logits")
    assert told == pytest.approx(PIXELS @ matrix(), abs=1e-5)


def flat_rows(features: int = 16, rows: object = "batch") -> onnx.ModelProto:
    """A model that reads flat rows, as scikit-learn's do."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return model(nodes, {"w": matrix(features)}, [rows, features], [rows, CLASSES])


@pytest.mark.parametrize("rows", ["batch", 1])
def test_grey_images_are_given_as_the_flat_rows_that_a_model_reads(rows: object) -> None:
    assert asked(flat_rows(rows=rows), scale="bytes") == pytest.approx(PIXELS * 255 @ matrix(), rel=1e-4, abs=1e-3)
    assert OnnxTeacher(file=kept(flat_rows(rows=rows))).made_for(SHAPE) is None, "nothing is to be resized for it"


def test_flat_rows_of_other_sizes_or_colours_are_refused() -> None:
    with pytest.raises(BadInput, match="reads inputs of 9, but the data are 1x4x4"):
        OnnxTeacher(file=kept(flat_rows(9))).connect(SHAPE, CLASSES)
    with pytest.raises(BadInput, match="reads inputs of 48, but the data are 3x4x4"):
        OnnxTeacher(file=kept(flat_rows(48))).connect((3, 4, 4), CLASSES)


# --- class numbers ---------------------------------------------------------------------------------------------------


def labelling(folder: Path, *outputs: str, access: Access = "labels", **more: object) -> Teacher:
    """A classifier behind a wall."""
    line = OnnxTeacher(file=kept(classifier(*outputs, **more))).connect(SHAPE, CLASSES, access)  # type: ignore[arg-type]
    return Teacher(line, access, wall=Wall(), folder=folder, classes=CLASSES)


@pytest.mark.parametrize("batch", ["batch", 1, 3])
@pytest.mark.parametrize(
    "outputs", [("label",), ("column",), ("small",), ("label", "maps"), ("maps", "label"), ("words", "label")]
)
def test_class_numbers_are_labels(tmp_path: Path, outputs: tuple[str, ...], batch: object) -> None:
    asked = labelling(tmp_path, *outputs, batch=batch)
    assert (asked(IMAGES).logits.numpy() == np.eye(CLASSES)[(PIXELS @ matrix()).argmax(1)]).all()
    assert (asked.meter.images, asked.meter.bytes_down) == (7, 7 * 4)
    with pytest.raises(BadInput, match="labels alone, but its probabilities are asked for; set the run's access to"):
        labelling(tmp_path, *outputs, access="probabilities", batch=batch)


@pytest.mark.parametrize(
    "outputs", [("label", "scores"), ("scores", "label"), ("words", "maps", "scores"), ("column", "whole", "scores")]
)
def test_of_several_outputs_rows_tell_more_than_labels(tmp_path: Path, outputs: tuple[str, ...]) -> None:
    told = labelling(tmp_path, *outputs, access="logits")(IMAGES).logits.numpy()
    assert told == pytest.approx(PIXELS @ matrix(), abs=1e-5)


def test_a_class_that_the_data_have_not_is_named_with_its_query(tmp_path: Path) -> None:
    truth = (PIXELS @ matrix()).argmax(1)
    strange = int(truth[4])
    first = truth.tolist().index(strange) + 1
    asked = labelling(tmp_path, "label", classes=[12 if one == strange else one for one in range(CLASSES)])
    with pytest.raises(BadInput, match=f"answer to query {first} is class 12, but the data's are 0 to 2"):
        asked(IMAGES)
    assert asked.meter.images == (truth != strange).sum() > 0, "what was answered besides is kept"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("maps", r"answers with seq\(map\(int64,tensor\(float\)\)\), but only tensors of numbers are read"),
        ("words", r"answers with tensor\(string\), but only tensors of numbers"),
        ("whole", r"a class number as an integer, but gives int64 of \[2, 3\]"),
        ("one", r"but gives int64 of \[1\]"),
    ],
)
def test_answers_that_cannot_be_read(output: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        OnnxTeacher(file=kept(classifier(output))).connect(SHAPE, CLASSES)


# --- hostile files ---------------------------------------------------------------------------------------------------

HUGE = np.array([1 << 20, 1 << 20], np.int64)


def two_inputs() -> onnx.ModelProto:
    made = linear()
    made.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch"]))
    return made


def with_domain(domain: str) -> onnx.ModelProto:
    made = linear()
    made.graph.node[1].domain = domain
    made.opset_import.append(helper.make_opsetid(domain, 1))
    return made


def lying() -> onnx.ModelProto:
    """A matrix that says it has 2^40 rows and holds sixteen."""
    made = linear()
    made.graph.initializer[0].dims[0] = 1 << 40
    return made


def nested_outside() -> onnx.ModelProto:
    """A tensor in another file, inside the body of a branch."""
    held = outside("/etc/passwd").graph.initializer[0]
    body = helper.make_graph([helper.make_node("Constant", [], ["out"], value=held)], "body", [], [])
    made = linear()
    made.graph.node.insert(0, helper.make_node("If", ["never"], ["unused"], then_branch=body, else_branch=body))
    return made


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (outside("/etc/passwd"), "keeps its tensor 'w' in '/etc/passwd', which is not opened"),
        (outside("../../../../etc/passwd"), "is not opened"),
        (outside("model.onnx.data"), r"as one file, as torch\.onnx\.export\(\.\.\., external_data=False\) does"),
        (nested_outside(), "is not opened"),
        (with_domain("com.evil"), "operator 'Flatten' of 'com.evil', but only the standard's own"),
        (two_inputs(), "must read one input, images, but the ONNX file has 2: x, mask"),
        (linear().SerializeToString()[:-40], "no ONNX model, or is cut off"),
        (b"\x08\x09" + os.urandom(500), "no ONNX model, or is cut off"),
        (b"\x08\x09", "has no operators"),
        (lying(), "onnxruntime cannot use the ONNX file"),
        (flattened(), "onnxruntime cannot use the ONNX file"),
        (flattened(
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("Compress", ["zeros"], ["extra"]), size=HUGE,
        ), "onnxruntime cannot use"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused(file: onnx.ModelProto | bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        OnnxTeacher(file=kept(file)).connect(SHAPE, 16)
    assert "\n" not in str(caught.value)


def test_tried_apart_it_is_the_same(monkeypatch: Patch) -> None:
    monkeypatch.setattr(teacher_file, "_facts", APART)
    monkeypatch.setattr(teacher_file, "Apart", Apart)
    assert asked(linear()) == pytest.approx(PIXELS @ matrix(), abs=1e-5)


def test_a_file_that_takes_all_memory_takes_that_of_its_own_process(monkeypatch: Patch) -> None:
    monkeypatch.setattr(teacher_file, "_facts", APART)
    huge = flattened(
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["extra"], keepdims=0), size=HUGE,
    )  # fmt: skip
    with pytest.raises(BadInput, match="needs more than 4 GB of memory"):
        OnnxTeacher(file=kept(huge)).connect(SHAPE, 16)


def test_a_file_that_never_answers_is_given_up(monkeypatch: Patch) -> None:
    endless = flattened(
        ENDLESS, helper.make_node("Cast", ["spins"], ["extra"], to=TensorProto.FLOAT),
        often=np.array(1 << 62), on=np.array(True),
    )  # fmt: skip
    monkeypatch.setattr(teacher_file, "_facts", APART)
    monkeypatch.setattr(teacher_file, "PATIENCE_S", 3)
    with pytest.raises(BadInput, match="crashed or took more than"):
        OnnxTeacher(file=kept(endless)).connect(SHAPE, 16)


def test_all_inside_a_message_is_seen() -> None:
    held = [one for one in _trial.messages(nested_outside()) if isinstance(one, onnx.TensorProto)]
    assert len(held) == 3
