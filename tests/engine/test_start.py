"""A run that begins with the weights of another: the same weights, the same bits, and a sentence where they misfit."""

from pathlib import Path

import pytest
from small_run import CUT, TEACHER, Weights, kept, parts, run, same, taught

from kdcore.contracts.net import Net
from kdcore.engine.build import network
from kdcore.engine.checkpoint import load_weights, save_tensors
from kdcore.engine.setup import Setup
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Event, Started
from kdcore.spec.spec import Choice, Spec


def further(method: str = "kd", steps: int = 12) -> Spec:
    """A run that goes on from a student of another seed and method."""
    asked = taught(method)
    begun = asked.model_copy(update={"method": Choice(name="ce"), "teacher": None, "seed": 5})
    schedule = asked.schedule.model_copy(update={"steps": steps})
    return Spec.model_validate(asked.model_copy(update={"start": begun, "schedule": schedule}).model_dump())


def test_the_student_begins_with_the_weights_of_its_start(weights: Weights) -> None:
    spec = further()
    assert spec.start
    setup = parts(spec, weights)
    begun = load_weights(network(spec.start, setup.shape, 10), weights(spec.start))
    assert same(dict(setup.student.state_dict()), dict(begun.state_dict()))
    alone = parts(spec.model_copy(update={"start": None}), weights)
    assert not same(dict(alone.student.state_dict()), dict(begun.state_dict()))
    assert all(weight.requires_grad for weight in setup.student.parameters())


def test_one_step_moves_a_little_from_the_start(weights: Weights, tmp_path: Path) -> None:
    spec = further(steps=1)
    assert spec.start
    told = list(run(spec, tmp_path, weights))
    assert told[-1].step == 1
    before = dict(load_weights(network(spec.start, (1, 8, 8), 10), weights(spec.start)).named_parameters())
    gap = max(float((value - before[name]).abs().max()) for name, value in kept(tmp_path).items() if name in before)
    assert 0 < gap < 0.5


def test_stopped_and_resumed_equals_uninterrupted(weights: Weights, tmp_path: Path) -> None:
    story = list(run(further(), tmp_path / "whole", weights))
    begun: list[Event] = []
    for event in run(further(), tmp_path / "cut", weights):
        begun.append(event)
        if sum(isinstance(told, Checkpoint) for told in begun) == CUT:
            break
    rest = list(run(further(), tmp_path / "cut", weights))
    assert begun + rest[1:] == story
    assert same(kept(tmp_path / "whole"), kept(tmp_path / "cut"))


def test_the_story_says_which_run_it_goes_on_from(weights: Weights, tmp_path: Path) -> None:
    spec = further()
    assert spec.teacher
    assert spec.start
    given = {"teacher_weights": weights(spec.teacher), "start_weights": weights(spec.start), "start_run": "abc"}
    first = next(train(spec, tmp_path, **given))  # type: ignore[arg-type]
    assert isinstance(first, Started)
    assert first.start_run == "abc"


def test_a_slice_is_learned_from_the_start_on(weights: Weights, tmp_path: Path) -> None:
    spec = further(steps=3).model_copy(update={"source": Choice(name="slice", knobs={"rows": "1-4", "share": 0.5})})
    assert list(run(Spec.model_validate(spec.model_dump()), tmp_path, weights))[-1].step == 3


def test_a_start_without_weights_is_refused(weights: Weights) -> None:
    spec = further()
    assert spec.teacher
    with pytest.raises(BadInput, match=r"has a start, but its weights were not given; run its start first\."):
        Setup(spec, Path(), weights(spec.teacher), lambda *_: None)


def test_a_method_that_makes_another_network_of_the_student_is_refused(weights: Weights) -> None:
    with pytest.raises(BadInput, match=r"^Method 'simkd' makes another network .* of the same method\.$"):
        parts(further("simkd"), weights)


def test_weights_of_another_network_are_refused(tmp_path: Path, weights: Weights) -> None:
    spec = further()
    assert spec.teacher
    other: Net = network(TEACHER, (1, 8, 8), 10)
    save_tensors(tmp_path / "other", dict(other.state_dict()), {})
    with pytest.raises(BadInput, match="cannot be used"):
        Setup(spec, Path(), weights(spec.teacher), lambda *_: None, start_weights=tmp_path / "other")
