"""A student at a temperature: its logits are divided by it, its answers stay, and its file says so."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from kdcore.comparison import export_temperature
from kdcore.comparison.tasks import temperature as task
from kdcore.comparison.tasks import tempered as asking
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.comparison.temperature_scaling import fitted
from kdcore.contracts.net import Net
from kdcore.engine.build import network
from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.spec.spec import parse
from kdcore.teachers.weights import WeightsTeacher

T = 1.7


@pytest.fixture
def written(pair: ComparedPair) -> Path:
    """The student's file at temperature T."""
    return pair.folder / asking.answer(pair, {"temperature": T})["file"]


@torch.no_grad()
def test_the_exported_weights_give_the_logits_divided_by_t(pair: ComparedPair, written: Path) -> None:
    spec = parse(str(pair.student.party.spec))
    nets = [network(spec, pair.shape, len(pair.classes)).double().eval() for _ in range(2)]
    nets[0].load_state_dict(load_file(Path(str(pair.student.party.folder)) / "student.safetensors"))
    nets[1].load_state_dict(load_file(written))
    x = pair.student.inputs(pair.x).double()
    before, after = (net(x).logits for net in nets)
    assert (after - before / T).abs().max() < 1e-6
    assert torch.equal(after.argmax(1), before.argmax(1))
    assert float((after.argmax(1).numpy() == pair.labels).mean()) == float(
        (before.argmax(1).numpy() == pair.labels).mean()
    )


def test_uploaded_as_a_teacher_it_answers_with_scaled_logits(pair: ComparedPair, written: Path) -> None:
    line = WeightsTeacher(file=uploads.keep(written)).connect(pair.shape, len(pair.classes))
    assert torch.allclose(line(pair.x.float() / 255).logits, pair.student.logits(pair.x) / T, atol=1e-5)


def test_its_head_says_what_the_runs_says_and_the_temperature(pair: ComparedPair, written: Path) -> None:
    def head(path: Path) -> dict[str, str]:
        with safe_open(path, framework="pt") as stored:
            return dict(stored.metadata())

    before = head(Path(str(pair.student.party.folder)) / "student.safetensors")
    assert head(written) == before | {"temperature": json.dumps(T)}


def test_a_head_that_is_not_linear_is_refused_in_one_sentence() -> None:
    x = torch.rand(5, 4)
    for head in (nn.Sequential(nn.Linear(4, 3), nn.Tanh()), nn.Softmax(1)):
        with pytest.raises(BadInput, match="no linear layer's"):
            export_temperature.divided(Net([nn.Identity()], head), 2.0, x)


@torch.no_grad()
def test_of_several_layers_the_last_is_divided_and_the_network_itself_stays() -> None:
    torch.manual_seed(0)
    net = Net([nn.Identity()], nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    x, before = torch.rand(5, 4), [one.clone() for one in net.parameters()]
    assert torch.allclose(export_temperature.divided(net, 2.0, x)(x).logits, net(x).logits / 2)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1e9, float("nan")])
def test_no_file_is_written_at_a_temperature_that_is_none(pair: ComparedPair, wrong: float) -> None:
    with pytest.raises(BadInput, match="lies between"):
        asking.answer(pair, {"temperature": wrong})
    assert not list(pair.folder.glob("student-*"))


def test_the_task_fits_on_all_validation_rows(pair: ComparedPair) -> None:
    found = task.work(pair, {}, lambda *_: None)
    val = pair.data.val
    assert int(found["rows"]) == len(val.y)
    logits = pair.student.logits(torch.from_numpy(val.x)).numpy()
    assert float(found["temperature"]) == pytest.approx(fitted(logits, val.y))


def test_the_command_fits_and_writes_the_same(
    pair: ComparedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    party, out = pair.student.party, tmp_path / "scaled.safetensors"
    export_temperature.main([str(party.folder), str(out), "--spec", str(party.spec)])
    val = pair.data.val
    expected = fitted(pair.student.logits(torch.from_numpy(val.x)).numpy(), val.y)
    with safe_open(out, framework="pt") as stored:
        assert json.loads(stored.metadata()["temperature"]) == pytest.approx(expected)
    assert f"fitted on {len(val.y):,} validation rows" in capsys.readouterr().out
    assert np.isfinite(expected)
