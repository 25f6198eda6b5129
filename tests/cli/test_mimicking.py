"""`kdlab mimic` on the record of a run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from app.cli import main
from kdcore.events import Cost, Finished, Started
from kdcore.jobs.store import Store
from kdcore.runs.record import write_arrays
from kdcore.spec.lineage import recommended

pytestmark = pytest.mark.usefixtures("lab")
Read = pytest.CaptureFixture[str]


def record(lab: Path, x: np.ndarray, taught: bool = True) -> str:
    """The id of a finished run whose teacher tells two classes apart by the first input."""
    store = Store(lab)
    run = store.submit(recommended("moons"), "somebody")
    cost = Cost(parameters=1, multiply_adds=1, size_bytes=4)
    first = Started(
        step=0, steps=9, device="cpu", torch="none", classes=("left", "right"), rows={}, student=cost, teacher=None
    )
    store.claim(1, run.id)
    store.append(run.id, [first, Finished(step=9, result={})])
    side = x.reshape(len(x), -1)[:, 0].astype(np.float32)
    labels = (side > np.median(side)).astype(np.int64)
    static = {"probe_x": x, "probe_labels": labels}
    logit = 3 * (side - np.median(side)) / side.std()
    if taught:
        static["teacher_logits"] = np.stack([-logit, logit], axis=1) / 2
    write_arrays(run.folder / "static.npz", static)
    store.close()
    return run.id


def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)


def test_it_tells_fidelity_by_depth_a_path_and_what_each_input_adds(lab: Path, capsys: Read) -> None:
    assert main(["mimic", record(lab, points()), "--depth", "2", "--class", "right", "--row", "3"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^1 +2 +\d+\.\d % ", told, re.MULTILINE)
    assert re.search(r"^unlimited +140 +100\.0 % ", told, re.MULTILINE)
    assert re.search(r"decides row 3:\n  x is -?[\d.]+ [≤>] -?[\d.e-]+: (left|right) \d+\.\d %", told)
    assert re.search(r"log-odds of 'right'.*explains (99\.\d|100\.0) % ", told)
    assert re.search(r"^x +\d", told, re.MULTILINE)
    assert re.search(
        r"misses, \d\.\d % of the variance, .* correlation -?\d\.\d\d on these 200 rows\. Why, this cannot", told
    )
    assert "the teacher knows" not in told


def test_it_tells_programs_everything(lab: Path, capsys: Read) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 1, 3, 3), dtype=np.uint8)
    assert main(["mimic", record(lab, pixels), "--depth", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["depth"] for one in found["tree"]["by_depth"]] == [1, None]
    assert found["inputs"] == list(range(9))
    assert {shape["feature"] for shape in found["additive"]["shapes"]} == set(range(9))
    assert found["additive"]["shapes"][0]["feature"] == 0


def test_pixels_are_named_by_row_and_column(lab: Path, capsys: Read) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 1, 3, 3), dtype=np.uint8)
    assert main(["mimic", record(lab, pixels), "--depth", "1"]) == 0
    assert "pixel 0,0 is " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("taught", "words", "said"),
    [
        (False, [], "holds no answers of a teacher; choose a finished run that has one"),
        (True, ["--class", "up"], "The run's classes are left, right, but class 'up' is asked for"),
        (True, ["--row", "200"], "The run's probe rows are 0 to 199, but row 200 is asked for"),
    ],
)
def test_what_cannot_be_told_is_refused(lab: Path, capsys: Read, taught: bool, words: list[str], said: str) -> None:
    assert main(["mimic", record(lab, points(), taught), *words]) == 2
    assert said in capsys.readouterr().err
