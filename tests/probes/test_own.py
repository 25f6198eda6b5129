"""What a method shows of itself: targets, temperatures, paths and notes, against slow loops."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_factory import Run, record

from kdcore.events import Step
from kdcore.probes._numerics import kl_nats, softmax
from kdcore.probes.notes import notes
from kdcore.probes.stones import stones
from kdcore.probes.target import CHANGED, moves, target
from kdcore.probes.temperatures import temperatures
from kdcore.runs.record import Record
from kdcore.spec.spec import Choice

USUAL = Run()


def seen(run: Run = USUAL, **frame: Any) -> Record:
    found = record(run)
    return replace(found, frame={**found.frame, **frame})


def swapped(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The true class takes the place of the likeliest in each row."""
    target = probability.copy()
    for row, label in enumerate(truth):
        top = target[row].argmax()
        target[row, [top, label]] = target[row, [label, top]]
    return target


@given(st.integers(0, 500), st.integers(2, 12), st.integers(1, 40))
def test_moves_are_counted_row_by_row(seed: int, classes: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    teacher, asked = (random.dirichlet(np.full(classes, 0.3), size=rows) for _ in range(2))
    asked[random.random(rows) < 0.5] = teacher[random.random(rows) < 2][0]
    truth = random.integers(classes, size=rows)
    changed = wrong = repaired = spoilt = 0
    for p, t, label in zip(teacher, asked, truth, strict=True):
        changed += sum(abs(a - b) for a, b in zip(p, t, strict=True)) / 2 >= CHANGED
        wrong += p.argmax() != label
        repaired += p.argmax() != label == t.argmax()
        spoilt += p.argmax() == label != t.argmax()
    found = moves(teacher, asked, truth)
    assert (found.changed, found.wrong, found.repaired, found.spoilt) == (changed, wrong, repaired, spoilt)
    assert list(found.after) == [t[label] for t, label in zip(asked, truth, strict=True)]


def test_a_swap_repairs_every_wrong_answer_and_touches_no_other() -> None:
    plain = record(Run(rows=200))
    p, truth = softmax(plain.static["teacher_logits"]), plain.static["probe_labels"]
    found = target(seen(Run(rows=200), own_target=swapped(p, truth)), 0).moves
    assert found is not None
    assert found.wrong == found.repaired == found.changed == (p.argmax(1) != truth).sum() > 0
    assert found.spoilt == 0


def test_the_chosen_sample_gives_way_only_where_nothing_happens_to_it() -> None:
    p = softmax(record().static["teacher_logits"])
    asked = p.copy()
    asked[9] = np.roll(p[9], 1)
    assert (target(seen(own_target=asked), 9).sample, target(seen(own_target=asked), 9).chosen) == (9, True)
    assert (target(seen(own_target=asked), 3).sample, target(seen(own_target=asked), 3).chosen) == (9, False)
    assert target(seen(own_target=p), 3).sample == 3
    assert target(seen(Run(teacher=False), own_target=asked), 3).sample == 3


def test_answers_are_probabilities_of_the_same_sample() -> None:
    plain = record(Run(classes=30))
    asked = softmax(plain.static["teacher_logits"] * 0.5)
    found = target(seen(Run(classes=30), own_target=asked), 5)
    assert list(found.answers) == ["teacher", "target", "student"]
    assert found.hidden == 30 - len(found.classes)
    names = [int(name.split()[1]) for name in found.classes]
    assert found.answers["target"] == pytest.approx(asked[5][names])
    assert found.answers["student"] == pytest.approx(softmax(plain.frame["student_logits"][5])[names])
    assert found.classes[found.label] == f"class {plain.static['probe_labels'][5]}"
    assert list(target(seen(Run(teacher=False), own_target=np.full((64, 4), 0.25)), 0).answers) == ["target", "student"]


@given(st.integers(0, 100))
def test_every_sample_falls_into_one_bin(seed: int) -> None:
    warmth = np.random.default_rng(seed).gamma(2, 2, size=64)
    found = temperatures(seen(own_temperature=warmth))
    assert found.right.sum() + found.wrong.sum() == 64
    plain = record()
    right = plain.frame["student_logits"].argmax(1) == plain.static["probe_labels"]
    for place, centre in enumerate(found.centre):
        low, high = centre - found.width / 2, centre + found.width / 2
        inside = [w for w, r in zip(warmth, right, strict=True) if r and low + 1e-9 < w < high - 1e-9]
        assert abs(found.right[place] - len(inside)) <= 1  # the extremes lie on an edge
    assert (found.mean, found.lowest, found.highest) == pytest.approx((warmth.mean(), warmth.min(), warmth.max()))


def test_one_temperature_for_all_and_none_at_all() -> None:
    same = temperatures(seen(own_temperature=np.full(64, 4.0)))
    assert same.right.sum() + same.wrong.sum() == 64
    lost = temperatures(seen(own_temperature=np.full(64, np.nan)))
    assert lost.right.sum() + lost.wrong.sum() == 0


def test_paths_are_judged_like_the_student() -> None:
    plain = record(Run(telling=True))
    found, truth, teacher = stones(plain), plain.static["probe_labels"], plain.static["teacher_logits"]
    chain = [plain.frame["student_logits"], *plain.frame["own_paths"], teacher]
    assert found.names == ("student", "path 1", "path 2", "teacher")
    for place, logits in enumerate(chain):
        right = sum(int(row.argmax() == label) for row, label in zip(logits, truth, strict=True))
        same = sum(int(row.argmax() == other.argmax()) for row, other in zip(logits, teacher, strict=True))
        assert (found.accuracy[place], found.agreement[place]) == pytest.approx((right / 64, same / 64))
        assert found.kl_nats[place] == pytest.approx(kl_nats(teacher, logits).mean(), abs=1e-12)
    assert np.isnan(stones(record(Run(telling=True, teacher=False))).agreement).all()


@pytest.mark.parametrize(
    ("method", "count", "names"),
    [("bld", 2, ["stone 2", "stone 1"]), ("dml", 1, ["peer"]), ("dml", 2, ["peer 1", "peer 2"]), ("kd", 1, ["path 1"])],
)
def test_paths_are_called_by_what_they_are(method: str, count: int, names: list[str]) -> None:
    assert list(stones(of_method(method, own_paths=np.zeros((count, 64, 4)))).names) == ["student", *names, "teacher"]


def of_method(method: str, **frame: Any) -> Record:
    plain = seen(Run(telling=True), **frame)
    return replace(plain, spec=plain.spec.model_copy(update={"method": Choice(name=method)}))


def test_stepping_stones_lead_from_the_student_to_the_teacher() -> None:
    """Stone i is the student's first i blocks and the teacher's later ones; here each student's block errs by 1."""
    drift, x = np.array([1.0, 0.0, 0.0, -1.0]), record().static["teacher_logits"]
    paths = np.stack([x + blocks * drift for blocks in (1, 2, 3)])
    found = stones(of_method("bld", own_paths=paths, student_logits=x + 4 * drift))
    assert found.names == ("student", "stone 3", "stone 2", "stone 1", "teacher")
    assert (np.diff(found.kl_nats) < 0).all()
    assert found.kl_nats[3] == pytest.approx(kl_nats(x, x + drift).mean())


def test_exits_come_before_the_student_that_they_leave() -> None:
    logits = np.arange(3.0)[:, None, None] * record().static["teacher_logits"]
    found = stones(of_method("ofa", own_paths=logits))
    assert found.names == ("exit 1", "exit 2", "exit 3", "student", "teacher")
    assert found.kl_nats[1] == pytest.approx(0, abs=1e-9)


def test_notes_are_lines_and_shares_apart_from_other_units() -> None:
    def step(at: int, **told: float) -> Step:
        return Step(step=at, learning_rate=0.1, loss=1.0, terms={}, train_accuracy=0.5, notes=told)

    steps = (step(1), step(2, share=0.2, norm=3.0), step(3, share=1.0, norm=0.5))
    found = notes(replace(record(), steps=steps))
    assert list(found.step) == [1, 2, 3]
    assert (list(found.shares), list(found.others)) == (["share"], ["norm"])
    assert np.isnan(found.shares["share"][0])
    assert list(found.others["norm"][1:]) == [3.0, 0.5]
    assert len(notes(replace(record(), steps=steps * 100), limit=50).step) == 50
