"""A home that an earlier version wrote opens, and its runs are what they were.

`home-2026-11.zip` was written before the packages of kdcore were laid out anew, by `kdlab run --data moons --steps 12
--set teacher.schedule.steps=12`, with two frames and one checkpoint for each run.
"""

import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from kdcore.events import Frame
from kdcore.jobs.store import Store
from kdcore.probes.accuracy import accuracy
from kdcore.runs.record import gather, read_frame
from kdcore.spec.spec import parse

HOME = Path(__file__).with_name("home-2026-11.zip")
RUNS = {"chcwbpykgd": ("kd", 0.723), "u4lnnna4ow": ("ce", 0.897)}  # their methods and what they reached


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with zipfile.ZipFile(HOME) as packed:
        packed.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("run_id", RUNS)
def test_a_run_of_an_earlier_version_reads_as_it_did(home: Path, run_id: str) -> None:
    with closing(Store(home)) as store:
        run = store.get(run_id)
        events = store.story(run_id)
    method, reached = RUNS[run_id]
    assert (run.state, run.step, run.spec.method.name) == ("done", 12, method)
    assert run.hash == parse(run.spec.model_dump_json()).hash
    record = gather(run.spec, events, run.folder)
    assert record.ended is not None
    assert record.ended.result["student_accuracy"] == reached
    frames = [read_frame(run.folder, event.file) for event in events if isinstance(event, Frame)]
    assert [int(frame["step"]) for frame in frames] == [0, 12]
    assert accuracy(record).final is not None


def test_a_teacher_of_an_earlier_version_is_taken_for_a_new_run(home: Path) -> None:
    with closing(Store(home)) as store:
        run = store.get("chcwbpykgd")
        assert run.spec.teacher is not None
        teacher = store.finished_teacher(run.spec.teacher.hash)
        again = store.submit(run.spec, run.owner)
    assert teacher is not None
    assert (teacher.id, again.id) == ("u4lnnna4ow", run.id)
