"""What is seen of made images: hand-worked numbers, slow loops, and gaps where nobody was asked."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_factory import COPIES, Run, record

from kdcore.probes._rows import followed, newest
from kdcore.probes.answers import answers
from kdcore.probes.cells import border, cells
from kdcore.probes.copies import copies, counted, judged
from kdcore.probes.coverage import coverage
from kdcore.probes.inversions import inversions
from kdcore.probes.loss import loss
from kdcore.probes.made import made
from kdcore.probes.meter import meter
from kdcore.probes.pull import pull
from kdcore.runs.record import Record


def seen(**frame: object) -> Record:
    found = record(Run(making=True))
    return replace(found, frame={**found.frame, **frame})


def test_a_picture_has_the_teacher_s_class_and_its_largest_probability() -> None:
    found = made(seen(made_logits=np.array([[0, log(3), 0, 0]] * 36))).pictures[5]
    assert (found.said, found.confidence) == ("class 1", pytest.approx(0.5))


def test_a_teacher_that_tells_labels_has_no_confidence_and_one_not_asked_no_class() -> None:
    labels = made(record(Run(making=True, access="labels")))
    assert {one.confidence for one in labels.pictures} == {None}
    assert labels.named > 1
    frame = {name: array for name, array in seen().frame.items() if name != "made_logits"}
    assert {one.said for one in made(replace(seen(), frame=frame)).pictures} == {None}


def test_inversions_are_consistent_where_the_teacher_says_it_again() -> None:
    run = seen()
    again = np.eye(4)[run.static["teacher_logits"][:12].argmax(1)]
    again[3] = np.roll(again[3], 1)
    black, white = np.zeros((12, 1, 8, 8), np.uint8), np.full((12, 1, 8, 8), 255, np.uint8)
    found = inversions(seen(inverse_teacher_logits=again, inverse_teacher=black, inverse_student=white))
    assert [one.consistent for one in found.shown] == [row != 3 for row in range(12)]
    assert found.difference == 1
    assert found.shown[0].difference.min() == 255
    assert (found.cycle, found.chance) == (pytest.approx(0.13), 0.25)


@given(st.integers(0, 100), st.integers(2, 9), st.integers(1, 4))
def test_borders_lie_between_cells_of_two_classes(seed: int, side: int, classes: int) -> None:
    grid = np.random.default_rng(seed).integers(classes, size=(side, side))
    lines = np.arange(side + 1.0)
    expected = set()
    for row in range(side):
        for column in range(side):
            if column + 1 < side and grid[row, column] != grid[row, column + 1]:
                expected.add((column + 1, row, column + 1, row + 1))
            if row + 1 < side and grid[row, column] != grid[row + 1, column]:
                expected.add((column, row + 1, column + 1, row + 1))
    found = border(grid, lines, lines)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_corners_are_looked_up_in_the_cell_they_lie_in() -> None:
    teacher = np.full((12, 12), 3)
    teacher[3, 9] = 1  # x from 1 to 1.33, y from -1 to -0.67, which holds (1, -1) as 12 cells span -2 to 2
    run = seen(cells_teacher=teacher, cells_student=np.full((12, 12), 3))
    static = {**run.static, "cells_corners": np.array([[-1.1, -1.1], [1.1, -0.9], [0.1, 1.1]])}
    found = cells(replace(run, static=static))
    assert [corner.own for corner in found.corners] == [False, True, False]
    assert found.agreement == pytest.approx(143 / 144)
    assert [name for name, _, _ in found.names] == ["class 3"]
    assert found.classes == ("class 1", "class 3")


def test_numbers_of_frames_are_a_series_with_gaps() -> None:
    run = record(Run(making=True))
    frames = list(run.frames)
    frames[1] = frames[1].model_copy(update={"notes": {"frechet": 2.0}})
    step, told = followed(replace(run, frames=tuple(frames)), "frechet", "cycle")
    assert step.tolist() == [0, 4, 8, 12]
    assert told["frechet"].tolist() == [0.01, 2.0, 0.09, 0.13]
    assert np.isnan(told["cycle"][1])
    assert newest(run, "cycle") == 0.13
    assert newest(seen(note_cycle=np.array(0.7)), "cycle") == 0.7
    assert np.isnan(newest(run, "nothing"))


def test_entropy_is_a_share_of_the_highest() -> None:
    found = coverage(record(Run(making=True)))
    assert found.highest == pytest.approx(log(4))
    assert found.entropy_share == pytest.approx(found.class_entropy / log(4))
    assert list(found.shares) == ["cycle", "argmax_inverse", "confidence"]


def test_pulls_are_counted_by_cosine() -> None:
    found = pull(seen(own_pull_cosine=np.array([-1.0, 0.95, 0.96, 1.0, np.nan])))
    assert (found.rows[0], found.rows[-1], found.rows.sum()) == (1, 3, 4)
    assert found.cosine_now == pytest.approx(0.4775)
    assert found.ratio == pytest.approx(0.5)
    assert found.centre[0] == pytest.approx(-0.95)


def test_distance_of_answers_is_told_by_frames() -> None:
    assert answers(record(Run(making=True))).distance.tolist() == [0.01, 0.05, 0.09, 0.13]


def test_distances_are_counted_and_the_verdict_stands_beside_them() -> None:
    plain = copies(seen())
    assert (plain.nearest_local, plain.nearest, plain.local.sum()) == (20, 50, 50)
    assert plain.judged.verdict == (
        "No copies above 3.0 % (exact) or 5.0 % (altered) found among 50 synthetic images; cannot tell below that."
    )
    assert plain.judged.counts.startswith(
        "1 of 50 (2.0 %) are closer to a local image than the closest 1 % of held-out"
    )
    assert plain.judged.power == (
        "With probability 0.8 this test finds exact copies if they make up 3.0 % of the synthetic images and shifted, "
        "noisy copies if they make up 5.0 % of the synthetic images. Mirrored and inverted copies are not looked for."
    )
    frame = seen(note_copies_matched=np.array(1.0))
    assert copies(frame).judged.outcome == "copies"


@pytest.mark.parametrize(
    ("changes", "outcome", "words"),
    [
        ({}, "none", "No copies above 3.0 % (exact) or 5.0 % (altered) found among 50 synthetic images"),
        ({"copies_finds_exact": None}, "none", "No copies above 5.0 % found among 50 synthetic images"),
        ({"copies_matched": 1.0}, "copies", "1 of 50 synthetic images matches a local image exactly or nearly."),
        ({"copies_matched": 50.0}, "copies", "50 of 50 synthetic images match local images exactly or nearly."),
        ({"copies_closer_p": 0.019}, "closer", "closer to local images than to held-out ones"),
        ({"copies_p": 0.019}, "closer", "closer to local images than to held-out ones"),
        ({"copies_p": 0.021}, "none", "No copies above 3.0 %"),
        ({"copies_held": 49.0}, "unknown", "only 49 images are held out to compare with, and 50 are needed"),
        ({"copies_finds": 0.2}, "unknown", "found only if they made up 20.0 % of the synthetic images or more"),
        ({"copies_finds": None}, "unknown", "held-out images resemble local ones as closely as copies would"),
        ({"copies_held": 49.0, "copies_matched": 2.0}, "copies", "2 of 50"),
        ({"copies_judged": None}, "unknown", "recorded before the test could detect copies"),
    ],
)
def test_the_verdict_on_copies(changes: dict[str, float | None], outcome: str, words: str) -> None:
    notes = {name: value for name, value in {**COPIES, **changes}.items() if value is not None}
    found = judged(notes)
    assert found.outcome == outcome
    assert words in found.verdict


def test_held_out_images_that_equal_local_ones_are_counted() -> None:
    said = judged({**COPIES, "copies_twins": 2.0, "copies_references": 300.0}).counts
    assert said.endswith(" 2 of 300 held-out images equal a local one.")
    assert "equal" not in judged({**COPIES, "copies_twins": 0.0, "copies_references": 300.0}).counts


def test_a_share_of_nearest_images_has_its_count_and_its_chance_level() -> None:
    counted = {"nearer_local": 86 / 154, "copies_nearest": 154.0, "copies_local": 129.0, "copies_held": 143.0}
    assert (
        "86 of the 154 nearest real images (55.8 %) are local; chance gives 47.4 % (129 of all 272) (sign test, "
    ) in judged({**COPIES, **counted}).counts
    assert "; 40.0 % of the nearest real images are local (sign test" in judged(COPIES).counts  # a run of before


def test_a_run_of_before_has_its_counts_from_its_arrays() -> None:
    old = seen()
    ours, others = (int(count) for count in old.frame["nearest_real"])
    assert old.started
    both = old.started.rows["train"] + COPIES["copies_held"]
    said = copies(old).judged.counts
    assert f"20 of the {ours + others} nearest real images (40.0 %) are local" in said
    assert f"of all {both:.0f})" in said
    assert counted(old, {"cycle": 0.5}) == {"cycle": 0.5}
    assert counted(old, {**COPIES, "copies_nearest": 7.0})["copies_nearest"] == 7.0


def test_where_few_are_held_out_no_power_over_altered_copies_is_claimed() -> None:
    said = judged({**COPIES, "copies_held": 45.0}).power
    assert "exact copies if they make up 3.0 %" in said
    assert "noisy" not in said


@pytest.mark.parametrize("made", ["copies_matched", "copies_p"])
def test_it_always_says_what_is_not_looked_for(made: str) -> None:
    assert judged({**COPIES, made: 0.01}).power.endswith("Mirrored and inverted copies are not looked for.")


def test_without_numbers_nothing_is_said_of_copies() -> None:
    assert judged({}).verdict == "Cannot tell whether synthetic images copy local ones: too few images are held out."


def test_the_meter_counts_what_was_asked() -> None:
    found = meter(record(Run(making=True)))
    assert (found.images[-1], found.made[-1], found.local[-1], found.looked[-1]) == (1200, 1080, 120, 512)
    assert found.money[-1] == pytest.approx(1.2)
    assert found.up_megabytes[-1] == pytest.approx(0.0768)
    assert (found.budget, found.requests) == (5000, 12)


def test_terms_of_the_lead_are_told_apart() -> None:
    found = loss(record(Run(making=True)))
    assert [(term.name, term.leading) for term in found.terms] == [
        ("generator", True),
        ("labels", False),
        ("kd", False),
    ]
    assert np.isnan(found.total[:6]).all()
    assert np.isfinite(found.total[6:]).all()
