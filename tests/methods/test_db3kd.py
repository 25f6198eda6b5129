"""Boundaries found by a search against boundaries known by heart, and a count of every question."""

import math
from pathlib import Path

import pytest
import torch
from situation import nets, pair, situation
from torch import Tensor

from kdcore.contracts.method import Pair
from kdcore.contracts.outputs import Outputs
from kdcore.engine.teacher import Teacher
from kdcore.errors import BadInput
from kdcore.methods.db3kd import DB3KD, boundary, examples, target_logits
from kdcore.nn.losses import kd_loss
from kdcore.spec.spec import Wall

torch.set_num_threads(1)
CLASSES, ROWS = 3, 24


class Asked:
    """A teacher of points on a line whose classes are the thirds of [0, 3], who counts the points it is asked about."""

    def __init__(self) -> None:
        self.seen: set[float] = set()
        self.count = 0

    def __call__(self, x: Tensor, local: bool) -> Outputs:
        assert local
        self.count += len(x)
        self.seen |= set(x[:, 0].tolist())
        place = x[:, 0].floor().clamp(0, CLASSES - 1).long()
        return Outputs(torch.nn.functional.one_hot(place, CLASSES).float(), ())


def line(asked: Asked, x: Tensor, shown: Tensor | None = None, budget: int = 0) -> Pair:
    """What the method is told of training rows x (N, 1)."""
    told = pair(DB3KD(), *nets(CLASSES), classes=CLASSES)
    return told._replace(
        labels=torch.full((len(x),), -1),
        shown=torch.arange(len(x)) if shown is None else shown,
        inputs=lambda rows: x[rows],
        ask=asked,
        budget=budget,
    )


def points(count: int = ROWS) -> Tensor:
    return torch.rand(count, 1, generator=torch.Generator().manual_seed(1)) * CLASSES


def slow_search(x: float, end: float, goal: int, search: int) -> float:
    """The share of the way at which the class is `goal`, by halves."""
    low, high = 0.0, 1.0
    for _ in range(search):
        middle = (low + high) / 2
        if min(CLASSES - 1, math.floor(x + middle * (end - x))) == goal:
            high = middle
        else:
            low = middle
    return high


def test_the_search_finds_the_boundary_to_the_last_halving() -> None:
    x, ends = torch.tensor([[0.3], [2.9], [1.2]]), torch.tensor([[1.9], [0.5], [2.5]])
    goals = torch.tensor([1, 0, 2])
    found = boundary(line(Asked(), x), x, ends, goals, search=12)
    slow = [slow_search(a, b, c, 12) for a, b, c in zip(x[:, 0].tolist(), ends[:, 0].tolist(), [1, 0, 2], strict=True)]
    assert found.tolist() == pytest.approx(slow, abs=1e-6)
    assert found.tolist() == pytest.approx([0.7 / 1.6, 1.9 / 2.4, 0.8 / 1.3], abs=2**-12 + 1e-6)


def test_target_logits_are_inverse_distances_and_their_sum() -> None:
    distances, labels = torch.tensor([[1.0, 4.0], [2.0, torch.inf]]), torch.tensor([0, 2])
    found = target_logits(distances, labels, 3)
    unit = 4 / (1 + 1 / 4 + 1 / 2 + 0)
    expected = [[1.25 * unit, unit, unit / 4], [unit / 2, 0.0, unit / 2]]
    torch.testing.assert_close(found, torch.tensor(expected))
    others = [found[0, 1], found[0, 2], found[1, 0], found[1, 1]]
    assert float(sum(others)) / 4 == pytest.approx(1.0)


def test_examples_are_of_their_class_and_say_where_there_are_too_few() -> None:
    labels = torch.tensor([0, 1, 0, 0, 1, 0])
    found = examples(labels, 3, 3, torch.tensor([5, 4, 3, 2, 1, 0]))
    assert found.known.tolist() == [[True] * 3, [True, True, False], [False] * 3]
    assert found.place[0].tolist() == [5, 3, 2]
    assert found.place[1, :2].tolist() == [4, 1]


def test_the_targets_are_those_of_a_loop() -> None:
    """Every row is searched, so that a loop over rows, classes and the remembered ends gives the same logits."""
    x, method = points(), DB3KD(images=2, search=10)
    asked = Asked()
    found = method.connect(line(asked, x)).get_buffer("logits")
    values = x[:, 0].tolist()
    labels = [min(CLASSES - 1, math.floor(value)) for value in values]
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(_seed())).tolist()
    ends = {c: [row for row in order if labels[row] == c][:2] for c in range(CLASSES)}
    near: list[dict[int, float]] = []
    for value, label in zip(values, labels, strict=True):
        far = {}
        for c in range(CLASSES):
            if c != label:
                ways = [(values[end] - value) for end in ends[c]]
                far[c] = min(slow_search(value, value + way, c, 10) * abs(way) for way in ways)
        near.append({c: 1 / distance for c, distance in far.items()})
    mean = sum(sum(row.values()) for row in near) / (ROWS * (CLASSES - 1))
    for row, (label, found_row) in enumerate(zip(labels, found.tolist(), strict=True)):
        assert found_row[label] == pytest.approx(sum(near[row].values()) / mean, rel=1e-3)
        assert [found_row[c] for c in near[row]] == pytest.approx([v / mean for v in near[row].values()], rel=1e-3)


def _seed() -> int:
    from kdcore.seeding import mix

    return mix(0, 0, salt=22)


@pytest.mark.parametrize(("rows", "images", "search"), [(6, 2, 5), (10, 1, 3), (1, 3, 8)])
def test_it_asks_as_often_as_it_says(rows: int, images: int, search: int) -> None:
    asked, method = Asked(), DB3KD(rows=rows, images=images, search=search)
    method.connect(line(asked, points()))
    cost = ROWS + rows * (CLASSES - 1) * images * search
    assert asked.count == cost
    assert len(asked.seen) == cost


def test_the_meter_of_a_wall_counts_the_same(tmp_path: Path) -> None:
    told = situation(DB3KD(), classes=4)
    wall = Teacher(told.teacher, "labels", wall=Wall(), folder=tmp_path, classes=4)
    given = pair(DB3KD(), told.student, told.teacher, 4)._replace(ask=wall)
    x = 0.5 + 0.2 * torch.randn(40, 1, 8, 8)
    given = given._replace(inputs=lambda rows: x[rows].clamp(0, 1))
    known = torch.bincount(told.teacher(x.clamp(0, 1)).logits.argmax(1), minlength=4)
    method = DB3KD(rows=5, images=1, search=4)
    method.connect(given)
    reached = int((known > 0).sum())  # an untrained teacher may leave classes out; nothing is asked on the way to them
    ways = sum(reached - 1 for _ in range(5))
    assert wall.meter.images == wall.meter.local == 40 + ways * 4


def test_a_budget_is_kept_to_and_the_rest_gets_the_mean() -> None:
    asked, method = Asked(), DB3KD(images=1, search=5)
    found = method.connect(line(asked, points(), budget=ROWS + 4 * 10 + 9)).get_buffer("logits")
    assert asked.count == ROWS + 4 * 10
    plain = [row for row in found if row.sort().values[0] == row.sort().values[1]]
    assert len(plain) == ROWS - 4
    labels = Asked()(points(), True).logits.argmax(1)
    assert torch.equal(found.argmax(1), labels)


def test_a_budget_too_small_for_one_is_refused_before_anything_is_asked() -> None:
    asked = Asked()
    with pytest.raises(BadInput, match=rf"asks about the {ROWS} local images .* the budget is 30; raise it to 84"):
        DB3KD(images=5, search=6).connect(line(asked, points(), budget=30))
    assert asked.count == 0


def test_rows_that_are_never_shown_are_not_asked_about() -> None:
    asked, x = Asked(), points()
    shown = torch.tensor([3, 4, 8, 15, 16, 21, 22, 23])
    found = DB3KD(rows=2, images=1, search=3).connect(line(asked, x, shown)).get_buffer("logits")
    hidden = [row for row in range(ROWS) if row not in shown.tolist()]
    assert not {float(x[row, 0]) for row in hidden} & asked.seen
    assert (found[hidden] == 0).all()
    assert (found[shown].amax(1) > 0).all()


def test_the_loss_follows_the_memory_of_each_row() -> None:
    method = DB3KD(temperature=2.0)
    *_, state, batch = situation(method)
    assert state is not None
    kd = method.terms(batch, state)["kd"].value
    assert kd == kd_loss(batch.student.logits, state.get_buffer("logits")[batch.index], 2.0)
    done = batch._replace(student=Outputs(state.get_buffer("logits")[batch.index] + 3.0, ()))
    assert method.terms(done, state)["kd"].value.item() == pytest.approx(0, abs=1e-6)
