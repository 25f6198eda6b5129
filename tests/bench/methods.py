"""What a step of each method costs over one of plain KD: same networks, same batch, both in turn in one process."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from kdcore.spec.lineage import lineage
from kdcore.spec.registry import METHODS
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec
from kdcore.study.study import LITTLE
from kdcore.study.trials import trial

ROUNDS = 3
COMMON: dict[str, Any] = {
    "data": Choice(name="digits_color"),
    "schedule": Schedule(steps=80, batch=64, lr=0.01),
    "watch": LITTLE,
}
TEACHER = Spec(**COMMON, student=Choice(name="cnn", knobs={"width": 16}), method=Choice(name="ce"))


def spec(method: str) -> Spec:
    """A short run of one method on coloured digits, 50 classes, 16 x 16 pixels."""
    student = Choice(name="cnn", knobs={"width": 8})
    return lineage(Spec(**COMMON, student=student, method=Choice(name=method), teacher=TEACHER))


def rows() -> Iterator[dict[str, Any]]:
    """Every method's step over KD's: the median of the rounds, with their range."""
    with tempfile.TemporaryDirectory() as home, patch.dict(os.environ, KDLAB_HOME=home):
        plain = spec("kd")
        trial(plain)
        for name in METHODS:
            asked = spec(name)
            trial(asked)
            found = sorted(trial(asked)["step_s"] / trial(plain)["step_s"] for _ in range(ROUNDS))
            told = {"ratio": statistics.median(found), "from": found[0], "to": found[-1], "unit": "of KD's"}
            yield {"what": f"a step of {name}", **told}
