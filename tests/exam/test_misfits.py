"""Models that somebody brings, and runs on other data: what is asked of them, what is said, what is refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save
from torch.nn.functional import interpolate
from trained import Runs, party

from kdcore.comparison.case import Case
from kdcore.comparison.question import Party, Question
from kdcore.comparison.tasks.answers import work
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.comparison.uploaded_images import keep
from kdcore.engine.build import build
from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.spec.spec import Choice

CPU = torch.device("cpu")
NAMES = tuple(str(digit) for digit in range(10))


def brought(content: bytes, **knobs: object) -> Party:
    file = uploads.keep(content, "safetensors")
    return Party(title="the file", service=Choice(name="weights", knobs={"file": file, **knobs}))


def weights(runs: Runs, **said: object) -> bytes:
    """The student's weights, with this and nothing else in their head."""
    head = {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in said.items()}
    return save(load_file(runs.student[1] / "student.safetensors"), head)


def of(pair: ComparedPair, one: Party) -> ComparedModel:
    return ComparedModel(one, pair.data, pair.question.data, CPU)


def test_an_uploaded_file_of_a_run_answers_as_the_run(pair: ComparedPair, runs: Runs) -> None:
    file = of(pair, brought((runs.student[1] / "student.safetensors").read_bytes()))
    assert torch.allclose(file.logits(pair.x), pair.student.logits(pair.x), atol=1e-5)
    assert torch.allclose(file.through(pair.x).logits, pair.student.through(pair.x).logits, atol=1e-5)
    assert file.notes == []


def test_student_and_teacher_may_both_be_files(pair: ComparedPair, runs: Runs) -> None:
    ours, theirs = ((one[1] / "student.safetensors").read_bytes() for one in (runs.student, runs.teacher))
    question = Question(data=pair.question.data, rows=20, student=brought(ours), teacher=brought(theirs))
    assert question.id != pair.question.id
    work(ComparedPair(question, "cpu"), {}, lambda *_: None)
    case = Case(question.folder)
    assert case.rows.teacher is not None
    assert torch.allclose(torch.from_numpy(case.rows.teacher), pair.teacher.logits(pair.x[:20]), atol=1e-5)  # type: ignore[union-attr]
    assert case.about.student.service == question.student.service


def test_classes_in_another_order_are_put_into_that_of_the_data(pair: ComparedPair, runs: Runs) -> None:
    spec = runs.student[0].model_dump_json()
    scale = {name: getattr(pair.data, name) for name in ("mean", "std")}
    file = of(pair, brought(weights(runs, spec=spec, classes=NAMES[::-1], **scale)))
    assert torch.allclose(file.logits(pair.x), pair.student.logits(pair.x).flip(1), atol=1e-5)
    assert torch.allclose(file.through(pair.x).logits, pair.student.through(pair.x).logits.flip(1), atol=1e-5)
    assert "classes in another order" in file.notes[0]


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (NAMES[:9], r"^the file knows 9 classes, but these data have 10"),
        ((*NAMES[:9], "ten"), r"knows other classes than these data, such as 'ten' where they have '9'"),
    ],
)
def test_other_classes_are_refused(pair: ComparedPair, runs: Runs, classes: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        of(pair, brought(weights(runs, spec=runs.student[0].model_dump_json(), classes=classes)))


def test_the_first_layer_that_differs_is_named(pair: ComparedPair, runs: Runs) -> None:
    with pytest.raises(BadInput, match=r"'blocks\.0\.0\.weight' is 4x1x3x3, not 16x1x3x3; choose its model"):
        of(pair, brought(weights(runs), model="cnn", model_knobs="width=16"))
    with pytest.raises(BadInput, match="do not say what network they are of"):
        of(pair, brought(weights(runs)))


def test_images_of_another_size_are_resized_and_it_is_said(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = build(Choice(name="cnn", knobs={"width": 4}), (3, 16, 16), 10).eval()
    content = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    monkeypatch.setattr("kdcore.teachers.weights.WeightsTeacher.made_for", lambda *_: (3, 16, 16))
    file = of(pair, brought(content, model="cnn", model_knobs="width=4"))
    assert file.notes == ["the file was made for images of 3x16x16, so the rows of 1x8x8 were resized for it."]
    colour = pair.x[:5].float().expand(-1, 3, -1, -1)
    expected = net(interpolate(colour, (16, 16), mode="bilinear", antialias=True) / 255).logits
    assert torch.allclose(file.logits(pair.x[:5]), expected, atol=1e-5)
    x = pair.x[:2].float().requires_grad_()
    file.through(x).logits.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_features_are_not_resized(pair: ComparedPair, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdcore.teachers.weights.WeightsTeacher.made_for", lambda *_: (2,))
    with pytest.raises(BadInput, match=r"^the file was made for inputs of 2, but the data are 1x8x8"):
        of(pair, brought(weights(runs)))


def test_what_a_run_on_other_data_saw_is_said_or_refused(pair: ComparedPair, runs: Runs, tmp_path: Path) -> None:
    spec, folder = runs.student
    split = spec.data.model_copy(update={"knobs": spec.data.knobs | {"seed": 7}})
    other = of(pair, party("other split", (spec.model_copy(update={"data": split}), folder)))
    assert other.notes == ["other split held out other rows, so it may have learned from some of these."]
    moons = spec.model_copy(update={"data": Choice(name="moons", knobs={"seed": 0, "validation": 0.1})})
    with pytest.raises(BadInput, match=r"^a toy was made for inputs of 2, but the data are 1x8x8"):
        of(pair, party("a toy", (moons, folder)))
    with pytest.raises(BadInput, match=r"^a toy learns from 'moons', not from 'digits', and says what its classes are"):
        of(pair, party("a toy", (moons, tmp_path)))


def test_images_that_were_brought_are_rows_without_labels(pair: ComparedPair) -> None:
    images = pair.x[:3].numpy()
    question = pair.question.model_copy(update={"where": "given", "given": keep(images), "notes": ("One was turned.",)})
    work(ComparedPair(question, "cpu"), {}, lambda *_: None)
    case = Case(question.folder)
    assert case.rows.labels.tolist() == [-1, -1, -1]
    assert torch.allclose(torch.from_numpy(case.rows.student), pair.student.logits(pair.x[:3]), atol=1e-5)
    assert case.about.notes == ("One was turned.",)
    assert case.about.where == "given"


def linear(shape: tuple[int, ...]) -> tuple[bytes, np.ndarray]:
    """An ONNX file that multiplies flat images of `shape` by a matrix, and the matrix."""
    matrix = np.random.default_rng(0).normal(size=(int(np.prod(shape)), 10)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sizes])]
        for name, sizes in (("x", shape), ("y", (10,)))
    ]
    graph = helper.make_graph(nodes, "graph", *ends, [numpy_helper.from_array(matrix, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString(), matrix


def test_an_onnx_file_is_asked_about_images_of_the_size_that_it_fixes(pair: ComparedPair) -> None:
    content, matrix = linear((1, 4, 4))
    file = of(pair, Party(title="the file", service=Choice(name="onnx", knobs={"file": uploads.keep(content, "onnx")})))
    assert file.notes == ["the file was made for images of 1x4x4, so the rows of 1x8x8 were resized for it."]
    small = interpolate(pair.x[:6].float(), (4, 4), mode="bilinear", antialias=True).flatten(1).numpy() / 255
    assert np.allclose(file.logits(pair.x[:6]).numpy(), small @ matrix, atol=1e-4)
    with pytest.raises(BadInput, match=r"^the file is a black box"):
        file.through(pair.x[:1])


def test_an_onnx_file_of_class_numbers_says_too_little_to_be_compared(pair: ComparedPair) -> None:
    content, _ = linear((1, 8, 8))
    made = onnx.load_from_string(content)
    made.graph.node[-1].output[0] = "row"
    made.graph.node.append(helper.make_node("ArgMax", ["row"], ["y"], axis=1, keepdims=0))
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, ["batch"]))
    file = uploads.keep(made.SerializeToString(), "onnx")
    with pytest.raises(BadInput, match=r"^the file answers with labels alone, but its probabilities are asked for"):
        of(pair, Party(title="the file", service=Choice(name="onnx", knobs={"file": file})))
