"""Uploaded weights: the same answers as the network they were taken from, and no doubt about what does not fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn
from torchvision import models

from kdcore.engine.build import build
from kdcore.engine.teacher import Teacher
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Wall, Watch
from kdcore.teachers.weights import WeightsTeacher

pytestmark = pytest.mark.usefixtures("home")
SHAPE = (1, 8, 8)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1))
CNN = {"model": "cnn", "model_knobs": "width=4"}


def cnn(width: int = 4, classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return build(Choice(name="cnn", knobs={"width": width}), SHAPE, classes).eval()


def kept(net: nn.Module, **said: object) -> str:
    head = {name: json.dumps(fact) for name, fact in said.items()}
    return uploads.keep(save({name: one.contiguous() for name, one in net.state_dict().items()}, head), "safetensors")


@torch.no_grad()
def test_they_answer_as_the_network_they_are_of() -> None:
    net = cnn()
    line = WeightsTeacher(file=kept(net), **CNN).connect(SHAPE, 10)
    assert torch.equal(line(IMAGES).logits, net(IMAGES).logits)
    signed = WeightsTeacher(file=kept(net), scale="signed", **CNN).connect(SHAPE, 10)
    assert torch.equal(signed(IMAGES).logits, net(IMAGES * 2 - 1).logits)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@torch.no_grad()
def test_the_names_of_a_wrapped_network_are_read(prefix: str) -> None:
    wrapped = {prefix + name: one.contiguous() for name, one in cnn().state_dict().items()}
    line = WeightsTeacher(file=uploads.keep(save(wrapped)), **CNN).connect(SHAPE, 10)
    assert torch.equal(line(IMAGES).logits, cnn()(IMAGES).logits)


@torch.no_grad()
def test_a_network_whose_rows_sum_to_one_is_asked_about() -> None:
    net = cnn()
    state = net.state_dict()
    last = [name for name, one in state.items() if one.shape[:1] == (10,)]
    for name in last:
        state[name].fill_(0.1 if name.endswith("bias") else 0.0)
    net.load_state_dict(state)
    line = WeightsTeacher(file=kept(net), **CNN).connect(SHAPE, 10, "logits")
    with pytest.raises(BadInput, match="look like probabilities"):
        line(IMAGES)


@torch.no_grad()
def test_half_precision_is_read_too() -> None:
    line = WeightsTeacher(file=kept(cnn().half()), **CNN).connect(SHAPE, 10)
    assert torch.allclose(line(IMAGES).logits, cnn()(IMAGES).logits, atol=1e-2)


def test_weights_of_a_run_say_their_network_and_how_pixels_are_read(tmp_path: Path) -> None:
    spec = Spec(
        student=Choice(name="cnn", knobs={"width": 4}), method=Choice(name="ce"), schedule=Schedule(steps=3, batch=16),
        watch=Watch(points=1, evaluations=1, frames=1, checkpoints=1),
    )  # fmt: skip
    assert list(train(spec, tmp_path / "run"))[-1].kind == "finished"
    name = uploads.keep(tmp_path / "run" / "student.safetensors")
    line = WeightsTeacher(file=name).connect(SHAPE, 10)
    teacher = Teacher(line, "logits", wall=Wall(), folder=tmp_path / "wall", classes=10)
    net = cnn()
    net.load_state_dict(load_file(tmp_path / "run" / "student.safetensors"))
    with safe_open(tmp_path / "run" / "student.safetensors", "pt") as stored:
        mean, std = (json.loads(stored.metadata()[name])[0] for name in ("mean", "std"))
    expected = net((IMAGES - mean) / std).logits.detach()
    assert torch.allclose(teacher(IMAGES).logits, expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_torchvisions_own_names_are_known(channels: int) -> None:
    torch.manual_seed(0)
    net = models.get_model("squeezenet1_1", weights=None, num_classes=4).eval()
    teacher = WeightsTeacher(file=kept(net), model="torchvision", model_knobs="name=squeezenet1_1")
    x = torch.rand(2, channels, 32, 32)
    told = teacher.connect((channels, 32, 32), 4)(x).logits
    assert torch.allclose(told, net(x.expand(-1, 3, -1, -1)), atol=1e-6)


@pytest.mark.parametrize(
    ("net", "knobs", "said"),
    [
        (cnn(), {}, "do not say what network they are of"),
        (cnn(), {"model": "cnn", "model_knobs": "width=8"}, r"'blocks\.\S+weight' is 4x1x\S+, not 8x1x"),
        (cnn(), {"model": "mlp"}, "'blocks.0.1.weight' is 4, not 64x64"),
        (nn.ModuleDict({"net": cnn()}), CNN, "they have no tensor 'blocks"),
        (cnn(), {"model": "cnn", "model_knobs": "4"}, "read knob=value,knob=value, but got '4'"),
        (cnn(), {"model": "cnn", "model_knobs": "width=5"}, "width .*but got 5"),
        (cnn(), {"model": "cnnn"}, "Did you mean 'cnn'"),
    ],
)
def test_what_does_not_fit_is_named(net: nn.Module, knobs: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        WeightsTeacher(file=kept(net), **knobs).connect(SHAPE, 10)


def test_a_tensor_too_many() -> None:
    net = cnn()
    net.more = nn.Linear(2, 2)
    with pytest.raises(BadInput, match=r"'more\.\w+' has no place in it"):
        WeightsTeacher(file=kept(net), **CNN).connect(SHAPE, 10)


def test_other_classes_than_the_head_says() -> None:
    name = kept(cnn(), classes=["a", "b", "c"])
    with pytest.raises(BadInput, match="tells 3 classes apart, but the data have 10"):
        WeightsTeacher(file=name, **CNN).connect(SHAPE, 10)


@pytest.mark.parametrize("head", [{"classes": 3}, {"mean": {"a": 1}}])
def test_a_head_of_another_kind(head: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="not as a list"):
        WeightsTeacher(file=kept(cnn(), **head), **CNN).connect(SHAPE, 10)


def hostile(**entry: object) -> bytes:
    said = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | entry}).encode()
    return len(said).to_bytes(8, "little") + said + b"\0" * 4


@pytest.mark.parametrize(
    "content",
    [
        hostile(shape=[1 << 40]),
        hostile(shape=[1 << 62, 1 << 62]),
        hostile(data_offsets=[0, 1 << 50]),
        hostile(dtype="PICKLE"),
        hostile()[:-2],
        hostile()[:30] + b"{" * 40,
    ],
)
def test_a_hostile_file_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"is damaged|neither ONNX nor"):
        WeightsTeacher(file=uploads.keep(content), **CNN).connect(SHAPE, 10)
