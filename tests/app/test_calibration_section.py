"""The section Calibration: it says where its temperature comes from, and hands out the student that has it."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import random_case
from lab_driver import Open, button, components, labels, said

from app.helpers import comparison
from kdcore.comparison.case import Case, Side, folder_of, write_about
from kdcore.comparison.temperature_scaling import scaled
from kdcore.runs.record import write_arrays

CASE = "case-0123456789ab"


@pytest.fixture
def opened(lab: Open) -> Open:
    """Opens the section on a case whose student is a run."""
    one = random_case(folder_of(CASE))
    write_about(one.folder, one.about.model_copy(update={"student": Side(title="student", run="some-run")}))
    return lambda **query: lab("inspector", case=CASE, section="calibration", **query)


def test_validation_rows_are_halved_and_it_says_so(opened: Open) -> None:
    page = opened()
    assert not page.exception
    assert components(page) == 1
    assert "at the temperature that was fitted on the other half" in said(page)
    assert "Fit a temperature" not in labels(page)


def test_the_scaled_student_is_made_and_then_handed_out(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, float]]] = []

    def answer(folder: Path, task: str, **wishes: float) -> dict[str, str]:
        asked.append((task, wishes))
        (folder / f"student-{wishes['temperature']:.4g}.safetensors").write_bytes(b"weights")
        return {}

    monkeypatch.setattr(comparison, "ask", answer)
    page = button(opened(), "Make the scaled student")
    assert asked == [("tempered", {"temperature": scaled(Case(folder_of(CASE))).temperature})]
    assert not page.exception
    assert "Make the scaled student" not in labels(page)


def test_other_rows_wait_for_a_temperature_of_validation_rows(opened: Open) -> None:
    one = Case(folder_of(CASE))
    write_about(one.folder, one.about.model_copy(update={"where": "test"}))
    page = opened()
    assert "No temperature fitted yet" in said(page)
    assert "Fit a temperature" in labels(page)
    fitted = {"temperature": np.array(0.5), "rows": np.array(1234)}
    for p, meaning in (
        (1e-9, "underconfident"),
        (0.4, "do not show over- or underconfidence of the student"),
        (None, "below 1"),
    ):
        tested = {} if p is None else {"p": np.array(p)}
        write_arrays(one.folder / "temperature.npz", fitted | tested)
        page = opened()
        assert "1,234 labelled rows: **0.5**" in said(page)
        assert meaning in said(page)
