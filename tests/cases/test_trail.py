"""The frames of a student's run, read back as one array."""

from pathlib import Path

import numpy as np
from case_factory import random_case

from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import MOST, trail
from kdcore.comparison.question import FILE, Party, Question
from kdcore.runs.record import write_arrays
from kdcore.spec.spec import Choice

PROBE, CLASSES = 7, 4


def followed(folder: Path, steps: list[int]) -> tuple[Case, dict[int, np.ndarray]]:
    """A case whose student's run kept frames at these steps, and the logits of each."""
    rng = np.random.default_rng(0)
    run = folder / "run"
    frames = {step: rng.normal(size=(PROBE, CLASSES)).astype(np.float32) for step in steps}
    for step, logits in frames.items():
        write_arrays(run / "frames" / f"{step:08d}.npz", {"step": np.array(step), "student_logits": logits})
    static = {"probe_labels": np.arange(PROBE) % CLASSES, "probe_index": np.arange(PROBE) + 10}
    write_arrays(run / "static.npz", static | {"teacher_logits": np.zeros((PROBE, CLASSES), dtype=np.float32)})
    case = random_case(folder / "case")
    question = Question(data=Choice(name="digits"), student=Party(title="student", folder=str(run)))
    (case.folder / FILE).write_text(question.model_dump_json())
    return case, frames


def test_frames_come_back_in_the_order_of_their_steps(tmp_path: Path) -> None:
    case, frames = followed(tmp_path, [30, 5, 120])
    found = trail(case)
    assert found is not None
    assert found.steps.tolist() == [5, 30, 120]
    assert np.array_equal(found.student, np.stack([frames[step] for step in (5, 30, 120)]))
    assert found.index.tolist() == list(range(10, 10 + PROBE))
    assert found.teacher is not None
    assert found.kept == 3


def test_many_frames_are_thinned_and_the_last_is_kept(tmp_path: Path) -> None:
    case, _ = followed(tmp_path, list(range(1, 3 * MOST)))
    found = trail(case)
    assert found is not None
    assert (len(found.steps), found.kept) == (MOST, 3 * MOST - 1)
    assert (found.steps[0], found.steps[-1]) == (1, 3 * MOST - 1)


def test_a_damaged_frame_is_left_out(tmp_path: Path) -> None:
    case, _ = followed(tmp_path, [1, 2, 3])
    (tmp_path / "run" / "frames" / "00000002.npz").write_bytes(b"no frame")
    found = trail(case)
    assert found is not None
    assert found.steps.tolist() == [1, 3]


def test_answers_that_were_given_have_no_trail(tmp_path: Path) -> None:
    assert trail(random_case(tmp_path)) is None
