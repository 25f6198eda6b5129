"""An engine without torch: each step takes the momentum's seconds, a seed of 13 brings bad luck, with seed 14 a server
cannot be reached, with 15 it fails on the way, and a remote teacher does not answer."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from kdcore.contracts.control import Desk
from kdcore.errors import BadInput
from kdcore.events import Cost, Event, Finished, Started, Step
from kdcore.spec.spec import Spec


def train(spec: Spec, folder: Path, *, desk: Desk, **_unused: object) -> Iterator[Event]:
    """Count to the last step."""
    cost = Cost(parameters=1, multiply_adds=1, size_bytes=4)
    steps = spec.schedule.steps
    if spec.seed == 14:
        raise BadInput("The teacher was asked 6 times without success, as the connection was refused.")
    yield Started(
        step=0, steps=steps, device="cpu", torch="none", classes=("a", "b"), rows={}, student=cost, teacher=None
    )
    for step in range(1, steps + 1):
        if any(command.name == "cancel" for command in desk.commands()):
            return
        if spec.seed == 13:
            raise RuntimeError("the toy is broken")
        if spec.seed == 15 and step == 3:
            raise BadInput("The teacher was asked 6 times without success, as it answers with status 500.")
        time.sleep(600 if spec.remote else spec.schedule.momentum / 10)
        yield Step(step=step, learning_rate=0.1, loss=1 / step, terms={}, train_accuracy=0.5)
    save_file({"weights": np.ones(1)}, folder / "student.safetensors")
    yield Finished(step=steps, result={"student_accuracy": 0.75})
