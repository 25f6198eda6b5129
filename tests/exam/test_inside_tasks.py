"""Gradients, knowledge points, changed rows and lines on small networks: against references and closed forms."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trained import Runs

from kdcore.comparison.augment import augment
from kdcore.comparison.case import Case
from kdcore.comparison.gradient_conflict import conflict
from kdcore.comparison.knowledge import knowledge
from kdcore.comparison.tasks import _course
from kdcore.comparison.tasks import augment as changing
from kdcore.comparison.tasks import conflict as pulling
from kdcore.comparison.tasks import knowledge as knowing
from kdcore.comparison.tasks import line as walking
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.comparison.weight_interpolation import line
from kdcore.contracts.data import silent
from kdcore.contracts.net import Net
from kdcore.engine.measure import gradients
from kdcore.engine.setup import Setup
from kdcore.errors import BadInput
from kdcore.runs.record import write_arrays


def kept(pair: ComparedPair, name: str, found: dict[str, np.ndarray]) -> Case:
    write_arrays(pair.folder / f"{name}.npz", found)
    return Case(pair.folder)


# Gradients


def weights(runs: Runs) -> dict[str, str]:
    return {"teacher": str(runs.teacher[1] / "student.safetensors")}


def test_pulls_of_two_losses_by_hand() -> None:
    first, second = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0]))
    one, other = first.sum() + 4 * second.sum(), first[0] - 3 * second.sum()
    found = pulling.pull(one, other, [[first], [second], [first, second]])
    assert found.product.tolist() == [1.0, -12.0, -11.0]
    assert found.labels.tolist() == pytest.approx([2**0.5, 4.0, 18**0.5])
    assert found.teacher.tolist() == pytest.approx([1.0, 3.0, 10**0.5])


def test_a_stage_that_a_term_does_not_reach_has_no_cosine() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    other = nn.Parameter(torch.tensor([1.0]))
    told = pulling._numbers(pulling.pull(weight.sum(), other.sum(), [[weight], [other], [weight, other]]))
    assert np.isnan(told[:2, 0]).all()
    assert told[2].tolist() == [0.0, 1.0, 1.0]


def test_all_weights_together_pull_as_the_run_s_own_measure_says(pair: ComparedPair, runs: Runs) -> None:
    setup = pulling._setup(pair, weights(runs))
    rows = np.arange(32)
    told, terms, taken = pulling._pull(setup, rows, list(pulling.grouped(setup.student).values()))
    index = torch.arange(32)
    expected = gradients(
        setup.modules,
        setup.student,
        lambda: setup.method.terms(
            setup.composed(setup.x[index], setup.y[index], index, 59, known=True, looking=True), setup.state
        ),
    )
    assert expected["gradient_names"].tolist() == ["labels", *terms]
    assert pulling._numbers(told)[-1, 0] == pytest.approx(expected["gradient_cosines"][0, 1], abs=1e-5)
    assert [told.labels[-1].item(), told.teacher[-1].item()] == pytest.approx(expected["gradient_norms"].tolist())
    assert taken


def test_a_conflict_is_told_for_every_stage_and_class_and_changes_nothing(pair: ComparedPair, runs: Runs) -> None:
    before = {name: value.clone() for name, value in pair.student.net.state_dict().items()}  # type: ignore[union-attr]
    chance = torch.get_rng_state()
    found = conflict(kept(pair, "conflict", pulling.work(pair, weights(runs), silent)))
    assert torch.equal(torch.get_rng_state(), chance)
    assert found.cosine.shape == (11, len(found.stages))
    assert (np.abs(found.cosine[np.isfinite(found.cosine)]) <= 1 + 1e-9).all()
    assert found.stages[-1] == "all weights"
    assert found.terms == ("kd",)
    assert (found.low <= found.cosine[0]).all()
    assert (found.ratio > 0).all()
    after = pair.student.net.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_squares_of_stages_add_up_to_all_weights(pair: ComparedPair, runs: Runs) -> None:
    found = pulling.work(pair, weights(runs), silent)["batch"]
    assert (found[:, :-1, 1] ** 2).sum(1) == pytest.approx(found[:, -1, 1] ** 2)


def test_without_its_teacher_there_is_one_sentence(pair: ComparedPair) -> None:
    with pytest.raises(BadInput, match="not on this machine any more"):
        pulling.work(pair, {}, silent)


def test_a_student_without_a_teacher_is_told(pair: ComparedPair, runs: Runs) -> None:
    alone = pair.question.model_copy(update={"student": pair.question.teacher})
    pair.question = alone
    with pytest.raises(BadInput, match="no term that distils"):
        pulling.work(pair, weights(runs), silent)


# First weights and checkpoints


def test_first_weights_are_those_that_the_run_began_with(runs: Runs, pair: ComparedPair) -> None:
    spec, _ = runs.student
    chance = torch.get_rng_state()
    found = _course.first(spec, pair.shape, 10)
    assert torch.equal(torch.get_rng_state(), chance)
    with torch.random.fork_rng(devices=[]):
        setup = Setup(spec, Path(), runs.teacher[1] / "student.safetensors", silent)
    begun = setup.student.state_dict()
    assert found.keys() == begun.keys()
    assert all(torch.equal(found[name], begun[name]) for name in found)


def test_the_last_checkpoint_is_the_student(runs: Runs, pair: ComparedPair) -> None:
    kept_stops = list(_course.stops(runs.student[1]))
    assert [stop.step for stop in kept_stops][-1] == 60
    last = pair.student.net.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(kept_stops[-1].weights[name], last[name]) for name in last)


# Knowledge points


class Linear:
    """A network whose only stage is a linear map of pixels from 0 to 1."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # (K, pixels)

    def through(self, x: Tensor) -> Any:
        return SimpleNamespace(features=(x.flatten(1) / 255 @ self.weight.T,))


def test_entropies_of_a_linear_network_are_those_of_its_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "DRAWS", 200)
    gain = torch.tensor([1.0, 2.0, 4.0, 8.0])
    model: Any = Linear(torch.diag(gain))
    found = knowing.entropies(model, torch.full((1, 1, 2, 2), 100, dtype=torch.uint8), lambda _: None)
    unit = knowing.TINY * gain.square().sum().sqrt()  # d
    sigma = unit / (4**0.5 * gain)  # of the minimum: d / (sqrt(G) |J|)
    expected = sigma.log() + 0.5 * np.log(2 * np.pi * np.e)
    assert found.ravel() == pytest.approx(expected.numpy(), abs=0.08)


def test_patches_that_a_network_ignores_are_no_knowledge() -> None:
    gain = torch.zeros(64)
    gain[:8] = 5.0
    gain += 0.01
    model: Any = Linear(torch.diag(gain))
    found = knowing.entropies(model, torch.zeros((1, 1, 8, 8), dtype=torch.uint8), lambda _: None)[0]
    assert found[0].max() < found[1:].min() - 1


def test_the_foreground_is_what_is_brighter_than_the_mean() -> None:
    x = torch.zeros((1, 1, 28, 28), dtype=torch.uint8)
    x[0, 0, :7, :7] = 200
    found = knowing.foreground(x)[0]
    assert found.shape == (8, 8)
    assert found[:2, :2].all()
    assert found.sum() == 4
    assert torch.bincount(knowing.cells(28, 8)).tolist() == [4, 3, 4, 3, 4, 3, 4, 3]


def test_ways_of_weights_by_hand() -> None:
    course = [{"w": torch.tensor(values)} for values in ([3.0, 4.0], [3.0, 9.0], [3.0, 4.0])]
    assert knowing.moved(course, ["w"]).tolist() == [1.0, 2.0]


def test_knowledge_of_both_and_of_the_checkpoints(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowing, "STEPS", 8)
    last = deepcopy(pair.student.net.state_dict())  # type: ignore[union-attr]
    found = knowledge(kept(pair, "knowledge", knowing.work(pair, {"rows": 4}, silent)))
    assert found.entropy["student"].shape == found.entropy["teacher"].shape == (4, 8, 8)
    assert found.course is not None
    assert found.course.steps.tolist()[-1] == 60
    assert 0 <= found.course.stability <= 1
    assert found.course.distance > 0
    after = pair.student.net.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(last[name], after[name]) for name in last)


# Changed rows


def test_changes_of_strength_0_and_known_ones() -> None:
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(3, 2, 8, 8, generator=chance) * 255
    for change in (changing.shifted, changing.turned, changing.brightened, changing.noisy):
        assert change(x, 0.0, torch.Generator().manual_seed(0)).numpy() == pytest.approx(x.numpy(), abs=1e-3)
    quarter = changing.turned(x, 90.0, torch.Generator().manual_seed(0))
    either = [torch.stack([torch.rot90(one, k, (1, 2)) for one in x]) for k in (1, -1)]
    gaps = torch.stack([(quarter - one).abs().amax((1, 2, 3)) for one in either])
    assert gaps.min(0).values.max() < 1e-2


def test_a_shift_moves_by_so_many_pixels() -> None:
    x = torch.zeros(50, 1, 21, 21)
    x[:, :, 10, 10] = 255
    moved = changing.shifted(x, 3.0, torch.Generator().manual_seed(0))
    grid = torch.arange(21.0)
    mass = moved.sum((1, 2, 3))
    down, across = ((moved.sum(axis) * grid).sum((1, 2)) / mass - 10 for axis in (3, 2))
    assert (down**2 + across**2).sqrt().numpy() == pytest.approx(np.full(50, 3.0), abs=0.05)


def test_unchanged_rows_are_answered_as_ever(pair: ComparedPair) -> None:
    case = kept(pair, "augment", changing.work(pair, {}, silent))
    told = augment(case)
    assert [family.name for family in told] == ["shift", "rotation", "brightness", "noise", "training"]
    accuracy = float((case.rows.student_top == case.rows.labels).mean())
    for family in told:
        assert family.student.value[0] == pytest.approx(accuracy)
        assert family.kl is not None
        assert family.kl.value[0] == pytest.approx(float(case.rows.kl.mean()), rel=1e-4)
        assert family.agreement is not None
        assert (family.student.low <= family.student.value).all()
    assert told[3].student.value[-1] < accuracy
    assert told[0].rows == len(pair.x)


# Lines


class Normed(Net):
    """One linear layer between two batch norms."""

    def __init__(self) -> None:
        super().__init__([nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))], nn.Linear(4, 2))


def test_between_two_weights() -> None:
    start = {"w": torch.tensor([0.0, 2.0]), "count": torch.tensor(3)}
    end = {"w": torch.tensor([4.0, 0.0]), "count": torch.tensor(9)}
    found = walking.between(start, end, 0.25)
    assert found["w"].tolist() == [1.0, 1.5]
    assert found["count"].item() == 3


def test_statistics_are_those_of_the_rows() -> None:
    torch.manual_seed(0)
    net, x = Normed(), torch.randn(2 * walking.CHUNK, 3) * 4 + 1
    walking.settle(net, x)
    norm, hidden = net.blocks[0][1], net.blocks[0][0](x)
    assert norm.running_mean.numpy() == pytest.approx(hidden.mean(0).detach().numpy(), abs=1e-4)
    halves = torch.stack([part.var(0) for part in hidden.split(walking.CHUNK)]).mean(0)
    assert norm.running_var.numpy() == pytest.approx(halves.detach().numpy(), rel=1e-4)
    assert not net.training


def test_the_first_layer_that_differs_is_named() -> None:
    with pytest.raises(BadInput, match=r"b has shape \(2,\) in one and \(3,\) in the other"):
        walking.fits({"a": torch.zeros(1), "b": torch.zeros(2)}, {"a": torch.zeros(1), "b": torch.zeros(3)})
    with pytest.raises(BadInput, match="c has shape nothing in one"):
        walking.fits({"a": torch.zeros(1)}, {"a": torch.zeros(1), "c": torch.zeros(3)})


def test_a_line_between_two_seeds(pair: ComparedPair, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "POINTS", 5)
    found = line(kept(pair, "line", walking.work(pair, {"folder": str(runs.other[1]), "title": "seed 1"}, silent)))
    assert found.share.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert found.other == "seed 1"
    assert (found.barrier >= 0).all()
    assert (found.loss[:, 2] > found.loss[:, [0, 4]].max(1)).all()  # seeds found other solutions
    assert ((found.low <= found.accuracy) & (found.accuracy <= found.high)).all()


def test_a_line_to_itself_is_flat(pair: ComparedPair, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "POINTS", 3)
    found = line(kept(pair, "line", walking.work(pair, {"folder": str(runs.student[1])}, silent)))
    assert found.barrier == pytest.approx([0, 0], abs=1e-5)


def test_a_line_from_the_first_weights_descends(pair: ComparedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "POINTS", 3)
    found = line(kept(pair, "line", walking.work(pair, {}, silent)))
    assert found.other == ""
    assert (found.loss[:, 0] > found.loss[:, -1] + 0.5).all()
