"""Causes: a worked case with one row for each, counts that add up, and what stands out."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import case, random_case

from kdcore.comparison.case import PARTS, Case
from kdcore.comparison.causes import CAUSES, NONE, Thresholds, causes, disagree, keep, knobs_of, missing, verdicts
from kdcore.comparison.evidence import evidence
from kdcore.comparison.findings import concentrations, gains
from kdcore.comparison.selection import mask, told
from kdcore.errors import BadInput

SURE, HALF = 8.0, 0.6  # logits above the others: confidences of 99.9 % and 48 %
NAMES = list(CAUSES)
# One row for each cause in their order, then one where both agree. The teacher says 0; the label says 0 unless told.
LABELS = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0])
STUDENT = np.array([1, 1, 1, 1, 1, 1, 0, 1, 0])  # answers
TEACHER_SURE = np.array([SURE, HALF, SURE, SURE, SURE, SURE, SURE, SURE, SURE])
STUDENT_SURE = np.array([SURE, SURE, SURE, SURE, SURE, SURE, HALF, SURE, SURE])
SEEDS = np.array([[0, 1, 1, 1, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 2, 0, 1, 0]])
LONGER = np.array([[1, 1, 0, 0, 1, 1, 0, 1, 0]])
BIGGER = np.array([[1, 1, 0, 1, 0, 1, 0, 1, 0]])
DISTANCE = np.array([1.0, 1, 9, 1, 1, 1, 1, 1, 1])


def logits(answers: np.ndarray, sure: np.ndarray) -> np.ndarray:
    return sure[:, None] * np.eye(3)[answers]


def confidence(answers: np.ndarray, sure: np.ndarray) -> np.ndarray:
    p = np.exp(logits(answers, sure))
    return (p / p.sum(1, keepdims=True)).max(1)


def witnesses(**kinds: np.ndarray) -> dict[str, np.ndarray]:
    usual = confidence(STUDENT, STUDENT_SURE)
    found: dict[str, np.ndarray] = {}
    for kind, answers in kinds.items():
        runs = np.array([f"{kind}{k}" for k in range(len(answers))])
        found |= {
            f"{kind}_answers": answers,
            f"{kind}_runs": runs,
            f"{kind}_confidence": np.tile(usual, (len(answers), 1)),
        }
    return found


def worked(folder: Path, **parts: dict[str, np.ndarray]) -> Case:
    teacher = logits(np.zeros(9, dtype=int), TEACHER_SURE)
    return case(folder, LABELS, logits(STUDENT, STUDENT_SURE), teacher, **parts)


@pytest.fixture
def seen(tmp_path: Path) -> Case:
    support = {"distance": DISTANCE, "own": np.linspace(0, 2, 101)}
    return worked(tmp_path, witnesses=witnesses(seeds=SEEDS, longer=LONGER, bigger=BIGGER), support=support)


def test_each_row_has_the_cause_that_was_worked_out(seen: Case) -> None:
    others = [name for name in CAUSES if name != "both_wrong"]
    assert [NAMES[k] for k in causes(seen).code] == [*others, NAMES[NONE]]
    assert missing(seen) == []


def test_counts_add_up_to_the_disagreements(seen: Case, tmp_path: Path) -> None:
    for made in (seen, random_case(tmp_path / "random")):
        found = causes(made)
        assert found.disagreements == disagree(made, Thresholds()).sum() == found.by_class.sum()
        masks = [mask(made, f"cause={cause}") for cause in CAUSES]
        assert np.array_equal(np.sum(masks, axis=0), disagree(made, Thresholds()))
        assert [int(one.sum()) for one in masks] == found.counts.tolist()


def test_what_was_not_gathered_is_no_cause(tmp_path: Path) -> None:
    bare = worked(tmp_path)
    assert [NAMES[k] for k in causes(bare).code] == ["teacher_wrong"] * 2 + ["unclear"] * 4 + [
        "confidence_only", "unclear", NAMES[NONE],
    ]  # fmt: skip
    assert missing(bare) == [
        "other seeds", "a longer run", "a student of the teacher's size", "distances to the training rows"
    ]  # fmt: skip
    assert "not asked" in evidence(bare, 0)[0].says


def test_a_witness_alone_counts_where_no_other_seed_was_asked(tmp_path: Path) -> None:
    made = worked(tmp_path, witnesses=witnesses(longer=LONGER))
    assert [NAMES[k] for k in causes(made).code[[2, 3, 4]]] == ["under_trained", "under_trained", "unclear"]


def test_rows_that_other_seeds_get_right_blame_neither_time_nor_size(tmp_path: Path) -> None:
    lucky = SEEDS.copy()
    lucky[:2, 3:5] = 0
    made = worked(tmp_path, witnesses=witnesses(seeds=lucky, longer=LONGER, bigger=BIGGER))
    assert [NAMES[k] for k in causes(made).code[3:5]] == ["boundary_noise", "boundary_noise"]


def test_evidence_says_what_the_tests_say(seen: Case) -> None:
    tests = verdicts(seen, Thresholds())
    for row in range(9):
        lines = evidence(seen, row)
        assert [line.holds for line in lines] == [bool(tests[line.cause][row]) for line in lines]
        first = next((line.cause for line in lines if line.holds), "unclear")
        code = causes(seen).code[row]
        assert code == NONE or NAMES[code] == first
    longer = evidence(seen, 3)[4]
    assert longer.runs == ("longer0",)
    assert "is class 0, which agrees with the teacher; 3 of 3 other seeds disagree as well" in longer.says
    assert "farther than that of 101 of 101 training rows" in evidence(seen, 2)[3].says


def test_the_same_wrong_answer_of_both_is_a_cause_of_its_own(tmp_path: Path) -> None:
    """Label 2, both say 0, the student far less sure: that is neither the teacher alone nor confidence alone."""
    made = case(tmp_path, np.array([2, 2, 0]), logits(np.zeros(3, int), np.array([HALF, SURE, HALF])),
                logits(np.array([0, 1, 0]), np.full(3, SURE)))  # fmt: skip
    assert [NAMES[k] for k in causes(made).code] == ["both_wrong", "teacher_wrong", "confidence_only"]
    line = next(line for line in evidence(made, 0) if line.cause == "both_wrong")
    assert (line.holds, line.says) == (True, "Both say class 0; the label says class 2.")
    assert mask(made, "cause=both_wrong").tolist() == [True, False, False]
    assert [int(made.rows.part[k]) for k in range(3)] == [3, 4, 0]


def test_no_answer_of_both_is_no_shared_one(tmp_path: Path) -> None:
    nothing = np.full((1, 3), np.nan)
    made = case(tmp_path, np.array([2]), nothing, nothing)
    assert list(PARTS)[made.rows.part[0]] == "wrong_differently"


def test_thresholds_are_kept_and_hold(seen: Case) -> None:
    keep(seen, Thresholds(gap=0.6, far=50.0))
    again = Case(seen.folder)
    assert knobs_of(again) == Thresholds(gap=0.6, far=50.0)
    assert causes(again).code[6] == NONE
    np.savez(seen.folder / "knobs.npz", gap=7.0)
    assert knobs_of(Case(seen.folder)) == Thresholds()


def test_a_cause_is_a_selection(seen: Case) -> None:
    assert np.flatnonzero(mask(seen, "cause=capacity")).tolist() == [4]
    assert mask(seen, "cause=capacity;teacher=1").sum() == 0
    assert told(seen, "cause=off_support") == [("cause", "off the training support")]
    with pytest.raises(BadInput, match="capacity"):
        mask(seen, "cause=capacities")


def test_without_a_teacher_there_is_no_cause(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no teacher"):
        mask(case(tmp_path, np.zeros(4), np.eye(4)), "cause=unclear")


def test_a_class_with_far_more_of_a_cause_stands_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 800)
    answers = np.where((labels == 2) & (rng.random(800) < 0.4), 3, labels)
    support = {"distance": np.where(answers != labels, 5.0, 1.0), "own": np.ones(50)}
    made = case(tmp_path, labels, SURE * np.eye(4)[answers], SURE * np.eye(4)[labels], support=support)
    (one,) = concentrations(made)
    assert (one.cause, one.answer, one.rows) == ("off_support", 2, (answers != labels).sum())
    assert one.share == pytest.approx((answers != labels)[labels == 2].mean())
    assert one.elsewhere == 0.0
    assert mask(made, one.select).sum() == one.rows


def test_a_gain_is_one_only_beyond_what_seeds_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    teacher = rng.integers(0, 3, 1000)

    def wrong(count: int) -> np.ndarray:
        return np.where(np.arange(1000) < count, (teacher + 1) % 3, teacher)

    seeds = np.stack([wrong(count) for count in (95, 100, 105)])
    usual = {"seeds_confidence": np.ones((3, 1000)), "seeds_runs": np.array(["a", "b", "c"])}
    told = {"seeds_answers": seeds, "longer_answers": wrong(20)[None], "bigger_answers": wrong(98)[None]} | usual
    told |= {f"{kind}_confidence": np.ones((1, 1000)) for kind in ("longer", "bigger")}
    told |= {f"{kind}_runs": np.array([kind]) for kind in ("longer", "bigger")}
    made = case(tmp_path, teacher, SURE * np.eye(3)[wrong(100)], SURE * np.eye(3)[teacher], witnesses=told)
    longer, bigger = gains(made)
    assert (longer.stands_out, bigger.stands_out) == (True, False)
    assert longer.agreement == 0.98
    assert longer.usual == pytest.approx(0.9)
    assert longer.error == pytest.approx(np.sqrt(0.9 * 0.1 / 1000 * 1.25))  # counting rows is wider than the seeds
