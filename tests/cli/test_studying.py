"""`kdlab study`, through real processes."""

from pathlib import Path

import pytest

from app.cli import main
from app.results.studies import published

TEXT = """
name: tiny
says: Two methods on two moons.
methods: [ce, kd]
seeds: [0]
budgets: [steps]
tasks:
  - name: moons
    says: Toy.
    spec:
      data: {name: moons}
      student: {name: mlp, knobs: {width: 4, depth: 1}}
      teacher: {data: {name: moons}, student: {name: mlp}, method: {name: ce}, schedule: {steps: 30}}
      schedule: {steps: 20}
"""


def test_a_study_runs_goes_on_where_it_stopped_and_writes_its_tables(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lab / "tiny.yaml"
    path.write_text(TEXT)
    assert main(["study", str(path), "--table"]) == 2
    assert "has no results yet" in capsys.readouterr().err
    assert main(["study", str(path)]) == 0
    told = capsys.readouterr()
    assert "2/2" in told.err
    assert told.out.split() == [str(path.with_suffix(".json")), str(path.with_suffix(".md"))]
    first = published("tiny", lab)
    assert [row["method"] for row in first.rows] == ["kd", "ce"]
    assert all(0 < row["accuracy"] <= 1 and row["step_s"] > 0 and row["agreement"] > 0 for row in first.rows)
    path.write_text(TEXT.replace("[ce, kd]", "[ce, kd, hard_label]"))
    kept = lab / "studies" / "tiny.jsonl"
    before = kept.read_text()
    assert main(["study", str(path)]) == 0
    assert "1/1" in capsys.readouterr().err
    assert kept.read_text().startswith(before)
    kept.unlink()
    assert main(["study", str(path), "--table"]) == 0, "the published results are as good"
    assert len(kept.read_text().splitlines()) == 3
    assert len(list((lab / "teachers").glob("*/student.safetensors"))) == 1


def test_a_trial_that_cannot_run_is_a_row_with_its_reason(lab: Path) -> None:
    path = lab / "tiny.yaml"
    stages = "variants: [{label: deep, method: fitnet, knobs: {hint: 9}}]"
    path.write_text(TEXT.replace("methods: [ce, kd]", f"methods: [kd]\n{stages}"))
    assert main(["study", str(path), "--jobs", "1"]) == 0
    rows = {row["method"]: row for row in published("tiny", lab).rows}
    assert "FitNet's hint is stage 9" in rows["deep"]["error"]
    assert "FitNet's hint is stage 9" in path.with_suffix(".md").read_text()
