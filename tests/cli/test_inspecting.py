"""`kdlab inspect`: the figures of a case, by hand, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from case_factory import case

from app import run_store
from app.cli import main
from app.cli.commands.inspect import figures
from app.helpers import comparison
from kdcore.comparison.case import Progress, tell
from kdcore.comparison.question import Party, Question
from kdcore.spec.spec import Choice

LABELS = np.array([0, 0, 1, 1, -1])
TEACHER = np.array([[9.0, 0], [0, 9], [0, 9], [9, 0], [9, 0]])  # right, wrong, right, wrong, unknown
STUDENT = np.array([[9.0, 0], [0, 9], [9, 0], [0, 9], [9, 0]])  # right, wrong as it, wrong, right, unknown


def test_figures_by_hand(tmp_path: Path) -> None:
    found = figures(case(tmp_path, LABELS, STUDENT, TEACHER))
    assert found["partition"] == {
        "both_right": 1, "teacher_only": 1, "student_only": 1, "wrong_same": 1, "wrong_differently": 0,
    }  # fmt: skip
    assert (found["student_accuracy"], found["teacher_accuracy"]) == (0.5, 0.5)
    assert (found["agreement"], found["copied"]) == (0.6, 0.5)
    sure = float(1 / (1 + np.exp(-9.0)))
    assert found["student_ece"] == pytest.approx(sure - 0.5, abs=1e-6)
    assert found["kl"] == pytest.approx(2 / 5 * 9 * (2 * sure - 1), rel=1e-5)


def test_a_student_alone_has_no_partition(tmp_path: Path) -> None:
    found = figures(case(tmp_path, LABELS, STUDENT))
    assert (found["student_accuracy"], found["rows"]) == (0.5, 5)
    assert not {"partition", "kl", "agreement"} & found.keys()


@pytest.mark.usefixtures("home")
def test_words_and_json_and_a_run_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_store.store.cache_clear()
    assert main(["inspect", "nowhere"]) == 2
    assert "There is no run named 'nowhere'" in capsys.readouterr().err
    question = Question(data=Choice(name="digits"), student=Party(title="student", run="abc"))
    made = case(question.folder, LABELS, STUDENT, TEACHER)
    tell(question.folder, comparison.FIRST, Progress(state="done"))
    monkeypatch.setattr(run_store.store(), "get", lambda run_id: run_id)
    monkeypatch.setattr(comparison, "question", lambda *_, **__: question)
    assert main(["inspect", "abc"]) == 0
    said = capsys.readouterr().out
    assert "student\nbeside teacher\n5 validation samples, 4 of them labelled\n" in said
    assert "  both wrong, same answer          1\n" in said
    assert f"/inspector?case={made.id}" in said
    assert main(["inspect", "abc", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["agreement"], told["where"], told["rows"], told["labelled"]) == (0.6, "val", 5, 4)
    run_store.store().close()
    run_store.store.cache_clear()
