"""Two small trained networks on digits, set up for the examiner: a teacher, a student of its, and another student."""

import os
from pathlib import Path

import pytest
import torch
from trained import Runs, party

from kdcore.comparison.question import Question
from kdcore.comparison.tasks.answers import work
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.engine.train import train
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Watch

DIGITS = Choice(name="digits", knobs={"train_fraction": 0.5})
ROWS = 80


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """They know digits a little: 60 steps of 32 rows."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("runs")
    small = {
        "data": DIGITS,
        "schedule": Schedule(steps=60, batch=32, lr=0.05),
        "watch": Watch(points=6, evaluations=1, frames=3, checkpoints=3),
    }
    teacher = Spec(student=Choice(name="cnn", knobs={"width": 8}), method=Choice(name="ce"), **small)
    student = Spec(student=Choice(name="cnn", knobs={"width": 4}), method=Choice(name="kd"), teacher=teacher, **small)
    other = student.model_copy(update={"seed": 1})
    list(train(teacher, place / "teacher"))
    for name, spec in (("student", student), ("other", other)):
        list(train(spec, place / name, teacher_weights=place / "teacher" / "student.safetensors"))
    return Runs((teacher, place / "teacher"), (student, place / "student"), (other, place / "other"))


@pytest.fixture
def pair(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ComparedPair:
    """Student and teacher before the first rows of the validation split, their case written."""
    (tmp_path / "data").symlink_to(os.environ["KDLAB_HOME"] + "/data")
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    question = Question(
        data=DIGITS, rows=ROWS, student=party("student", runs.student), teacher=party("teacher", runs.teacher)
    )
    question.write()
    found = ComparedPair(question, "cpu")
    work(found, {}, lambda *_: None)
    return found
