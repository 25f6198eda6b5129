"""A small case with models in it: two networks that have learned a little of the digits, or of two moons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from kdcore.comparison.question import Party, Question
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import silent
from kdcore.engine.build import build, dataset
from kdcore.engine.checkpoint import save_tensors
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec

DIGITS = Choice(name="digits")
MOONS = Choice(name="moons")
CNN, WIDER = Choice(name="cnn", knobs={"width": 4}), Choice(name="cnn", knobs={"width": 8})
MLP = Choice(name="mlp", knobs={"width": 16})


def pair(
    folder: Path,
    student: Choice = CNN,
    teacher: Choice | None = WIDER,
    data: Choice = DIGITS,
    steps: tuple[int, int] = (15, 60),
    **asked: Any,
) -> ComparedPair:
    """A pair whose question lies in `folder`; the student has learned less than its teacher."""
    parties = {"student": party(folder / "student", student, data, steps[0], 0)}
    if teacher:
        parties["teacher"] = party(folder / "teacher", teacher, data, steps[1], 1)
    question = Question(data=data, **parties, **asked)
    found = ComparedPair(question, device="cpu")
    found.folder = folder
    return found


def party(folder: Path, model: Choice, data: Choice, steps: int, seed: int) -> Party:
    """A network that took some steps of Adam, as a finished run of ours leaves it."""
    torch.manual_seed(seed)
    rows = dataset(data, folder, silent)
    net = build(model, rows.train.x.shape[1:], len(rows.classes))
    x, y = torch.from_numpy(rows.train.x).float(), torch.from_numpy(rows.train.y)
    if x.ndim == 4:
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (rows.mean, rows.std))
        x = (x / 255 - mean) / std
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for step in range(steps):
        part = torch.arange(128 * step, 128 * (step + 1)) % len(x)
        optimiser.zero_grad()
        F.cross_entropy(net(x[part]).logits, y[part]).backward()
        optimiser.step()
    folder.mkdir(parents=True)
    save_tensors(folder / "student.safetensors", net.state_dict(), {})
    spec = Spec(data=data, student=model, method=Choice(name="ce"), schedule=Schedule(steps=10))
    return Party(title=folder.name, run=folder.name, folder=str(folder), spec=spec.model_dump_json())
