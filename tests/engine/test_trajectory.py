"""The first steps of a run are those of mdistiller's trainer, weight by weight.

trajectory.npz holds what github.com/megvii-research/mdistiller (commit a08d46f) made of the images, rows and first
weights that `images`, `rows` and `fill` below draw, in float64 on a CPU. Its own networks, distillers with their
default settings, optimiser (SGD, rate .05, momentum .9, weight decay 5e-4) and `BaseTrainer.train_iter` took STEPS
steps; epoch 20 was told, at which warm-ups are over, and OFD's teacher was put into eval mode. For each case
`NAME.losses` (STEPS, 2) are the two summands of the loss, labels first, and `NAME.weights` and `NAME.statistics`
(PROJECTIONS,) what the student was at the end, projected on directions that `projected` draws. `NAME.margin.PLACE` are
the margins that OFD made of the teacher's normalisation; a run measures its own, which are replaced here. mdistiller's
wide ResNets normalise the ends of stages twice, and so count their statistics twice; those are not compared.

Our losses compute in float32, so `Tensor.float` is `Tensor.double` here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdcore.contracts.control import Desk
from kdcore.contracts.data import Dataset, Split
from kdcore.engine import setup as engine
from kdcore.engine.build import build
from kdcore.engine.checkpoint import save_tensors
from kdcore.engine.setup import Setup
from kdcore.engine.train import _Run
from kdcore.methods.ofd import Overhaul
from kdcore.methods.reviewkd import Review
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec

torch.set_num_threads(1)
FILE = Path(__file__).with_name("trajectory.npz")
SHAPE, CLASSES, ROWS, BATCH, STEPS, PROJECTIONS = (3, 32, 32), 10, 40, 8, 3, 4
MEAN, STD = (0.5, 0.4, 0.6), (0.25, 0.2, 0.3)


class Case(NamedTuple):
    """A method with its networks."""

    method: str
    student: tuple[str, str]  # family and variant
    teacher: tuple[str, str]
    knobs: tuple[tuple[str, float], ...] = ()


RESNETS = ("resnet", "8"), ("resnet", "14")
CASES = {
    "kd": Case("kd", *RESNETS),
    "dkd": Case("dkd", *RESNETS, (("warmup", 0.0),)),
    "at": Case("at", *RESNETS),
    "rkd": Case("rkd", *RESNETS),
    "fitnet": Case("fitnet", *RESNETS),
    "ofd": Case("ofd", *RESNETS),
    "reviewkd": Case("reviewkd", *RESNETS, (("warmup", 0.0),)),
    "at_wrn": Case("at", ("wrn", "16-1"), ("wrn", "16-1")),
    "at_mobilenet": Case("at", ("mobilenetv2", "0.5"), ("mobilenetv2", "0.5")),
    "at_shufflenet": Case("at", ("shufflenetv2", "0.5"), ("resnet", "14")),
    "reviewkd_shufflenet": Case("reviewkd", ("shufflenetv2", "0.5"), ("resnet", "14"), (("warmup", 0.0),)),
    "ofd_vgg": Case("ofd", ("vgg", "8"), ("vgg", "8")),
}


def images() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (ROWS, 3, 32, 32) uint8 and labels (ROWS,)."""
    chance = np.random.default_rng(1)
    return chance.integers(0, 256, (ROWS, *SHAPE), dtype=np.uint8), chance.integers(0, CLASSES, ROWS)


def rows(step: int) -> np.ndarray:
    """The rows (BATCH,) of a step."""
    return np.random.default_rng(100 + step).permutation(ROWS)[:BATCH]


@torch.no_grad()
def fill(tensors: Iterable[tuple[str, Tensor]], seed: int) -> None:
    """Draw named weights and statistics anew, in their order."""
    chance = np.random.default_rng(seed)
    for name, tensor in tensors:
        if tensor.dtype != torch.float64:
            continue
        drawn = torch.from_numpy(chance.standard_normal(tuple(tensor.shape)))
        if tensor.dim() > 1:
            tensor.copy_(drawn * (2 / tensor[0].numel()) ** 0.5)
        else:
            tensor.copy_(0.1 * drawn + name.endswith((".weight", "running_var")))


def projected(tensors: Iterable[Tensor]) -> np.ndarray:
    """Weights or statistics of a network, projected on directions (PROJECTIONS,)."""
    known = [tensor for tensor in tensors if tensor.dtype == torch.float64]
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in known]).numpy()
    directions = np.random.default_rng(7).standard_normal((PROJECTIONS, len(flat)))
    return directions @ flat / np.sqrt(len(flat))


def beside(state: nn.Module | None) -> list[tuple[str, Tensor]]:
    """What learns beside the student, in mdistiller's order."""
    found = list(state.named_parameters()) if state else []
    if not isinstance(state, Review):
        return found
    parts = [(fusion.reduce, fusion.imitate, fusion.attend) for fusion in state.fusions]
    return [one for fusion in parts for part in fusion if part for one in part.named_parameters()]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    """All in float64."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def run_of(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> _Run:
    """A run before its first step, with the weights that `fill` draws."""
    x, y = images()
    split = Split(x, y)
    data = Dataset(split, split, split, tuple(map(str, range(CLASSES))), MEAN, STD, y)
    monkeypatch.setattr(engine, "dataset", lambda *_: data)
    student, teacher = (Choice(name=name, knobs={"variant": variant}) for name, variant in case[1:3])
    net = build(teacher, SHAPE, CLASSES)
    fill([*net.named_parameters(), *net.named_buffers()], seed=2)
    save_tensors(folder / "teacher.safetensors", dict(net.state_dict()), {})
    schedule = Schedule(steps=STEPS, batch=BATCH, decay="constant")
    chosen = Choice(name=case.method, knobs=dict(case.knobs))
    taught = Spec(student=teacher, method=Choice(name="ce"))
    spec = Spec(student=student, method=chosen, teacher=taught, schedule=schedule, device="cpu")
    setup = Setup(spec, folder, folder / "teacher.safetensors", lambda *_: None)
    fill(setup.student.named_parameters(), seed=3)
    fill(beside(setup.state), seed=4)
    return _Run(setup, folder, Desk())


def as_published(state: Overhaul, margins: dict[str, np.ndarray]) -> None:
    """OFD's margins, and convolutions without a bias: at 0 normalisation keeps it there."""
    for place, margin in margins.items():
        state.get_buffer(f"margin_{place}").copy_(torch.from_numpy(margin))
    for module in state.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("exact")
def test_a_run_is_mdistillers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = np.load(FILE)
    run = run_of(CASES[name], tmp_path, monkeypatch)
    if isinstance(run.setup.state, Overhaul):
        fill([one for one in beside(run.setup.state) if not one[0].endswith("0.bias")], seed=4)
        margin = f"{name}.margin."
        as_published(run.setup.state, {key.removeprefix(margin): stored[key] for key in stored if margin in key})
    for step in range(STEPS):
        run._update(torch.from_numpy(rows(step)), step)
    losses = []
    for kept in run.kept:
        first, *others = (float(term.weight * term.value) for term in kept.terms.values())
        losses.append([first, sum(others)])
    np.testing.assert_allclose(losses, stored[f"{name}.losses"], rtol=1e-10)
    student = run.setup.student
    np.testing.assert_allclose(projected(student.parameters()), stored[f"{name}.weights"], rtol=1e-10)
    if "wrn" not in name:
        np.testing.assert_allclose(projected(student.buffers()), stored[f"{name}.statistics"], rtol=1e-10)
