"""What a method may tell, whom it may hear and what it may change, beyond its loss."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_run import SCHEDULE, STEPS, TEACHER, WATCH, Weights, kept, parts, run, taught
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method
from kdcore.contracts.net import Net
from kdcore.engine.build import network
from kdcore.engine.checkpoint import newest
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Finished, Frame, Started, Step
from kdcore.methods.kd import KD
from kdcore.runs.record import read_arrays
from kdcore.spec.spec import Spec

# --- notes, and what a method shows of itself ------------------------------------------------------------------------


class Talkative(KD):
    """Tells how far the run is, and what it is shown when only looked at."""

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        return {"progress": torch.tensor(batch.progress), "rows": torch.tensor(len(batch.labels))}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        assert batch.teacher is not None
        assert not batch.student_net.training
        assert batch.index.eq(0).all()
        return {"labels": batch.labels, "teacher": batch.teacher.logits, "student": batch.student.logits}


def test_notes_are_means_since_the_point_before_and_observations_are_in_the_frames(
    weights: Weights, as_kd: Callable[[type[Method]], None], tmp_path: Path
) -> None:
    as_kd(Talkative)
    story = list(run(taught(), tmp_path, weights))
    notes = [event.notes for event in story if isinstance(event, Step)]
    expected = [sum(range(start, start + 3)) / 3 / STEPS for start in range(0, STEPS, 3)]
    assert [note["progress"] for note in notes] == pytest.approx(expected)
    assert {note["rows"] for note in notes} == {SCHEDULE.batch}
    static = read_arrays(tmp_path / "static.npz")
    frames = [read_arrays(tmp_path / event.file) for event in story if isinstance(event, Frame)]
    assert len(frames) == 1 + WATCH.frames
    for frame in frames:
        np.testing.assert_array_equal(frame["own_labels"], static["probe_labels"])
        np.testing.assert_allclose(frame["own_teacher"], static["teacher_logits"], atol=1e-5)
        np.testing.assert_allclose(frame["own_student"], frame["student_logits"], atol=1e-5)


def test_a_method_that_says_nothing_leaves_nothing(weights: Weights, tmp_path: Path) -> None:
    story = list(run(taught(), tmp_path, weights))
    assert all(event.notes == {} for event in story if isinstance(event, Step))
    frame = read_arrays(tmp_path / next(event for event in story if isinstance(event, Frame)).file)
    assert not [name for name in frame if name.startswith("own_")]


# --- mentors ---------------------------------------------------------------------------------------------------------


def mentored() -> Spec:
    """As a method with several teachers would have it."""
    mentors = tuple(TEACHER.model_copy(update={"seed": seed}) for seed in (1, 2))
    return taught().model_copy(update={"mentors": mentors})


def test_mentors_answer_each_for_itself(weights: Weights) -> None:
    spec = mentored()
    made = parts(spec, weights)
    index = torch.arange(8)
    batch = made.batch(index, step=0)
    shape, classes = (1, 8, 8), 10
    for mentor, outputs in zip(spec.mentors, batch.mentors, strict=True):
        net = network(mentor, shape, classes)
        net.load_state_dict(load_file(weights(mentor)))
        torch.testing.assert_close(outputs.logits, net.eval()(made.normalise(made.x[index])).logits)
        assert not outputs.logits.requires_grad
    assert not torch.equal(batch.mentors[0].logits, batch.mentors[1].logits)


def test_a_run_whose_mentors_have_no_weights_is_refused(weights: Weights, tmp_path: Path) -> None:
    spec = mentored()
    teacher = weights(TEACHER)
    with pytest.raises(BadInput, match=r"needs the weights of 2 mentors, but got 0\."):
        next(train(spec, tmp_path, teacher_weights=teacher))
    with pytest.raises(BadInput, match="cannot be used"):
        next(train(spec, tmp_path, teacher_weights=teacher, mentor_weights=[teacher, tmp_path / "nothing"]))


# --- another network, and the last word ------------------------------------------------------------------------------


class Borrower(KD):
    """Trains a student that ends in a frozen layer of the teacher's width."""

    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities", "blocks"})

    def adapt_student(self, student: Net, teacher: Net | None) -> Net:
        assert teacher is not None
        borrowed = nn.Linear(10, 10).requires_grad_(False)
        return Net(student.blocks, nn.Sequential(student.head, borrowed))


def test_a_remodelled_network_is_trained_measured_and_kept(
    weights: Weights, as_kd: Callable[[type[Method]], None], tmp_path: Path
) -> None:
    plain = next(run(taught(), tmp_path / "plain", weights))
    as_kd(Borrower)
    spec = taught()
    before = parts(spec, weights).student.state_dict()
    story = list(run(spec, tmp_path, weights))
    assert isinstance(plain, Started)
    assert story[0].student.parameters == plain.student.parameters + 110
    after = kept(tmp_path)
    network(spec, (1, 8, 8), 10).load_state_dict(after)
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert not [name for name in moved if name.startswith("head.1.")], "what is frozen stays"
    assert [name for name in moved if name.startswith("head.0.")]


def test_networks_that_are_read_before_their_relu_are_measured_and_kept_as_they_are(
    weights: Weights, tmp_path: Path
) -> None:
    """So whoever learns from such a student finds what its classifier reads in its last feature."""
    spec = taught("ofd")
    setup = parts(spec, weights)
    assert setup.teacher is not None
    batch, x = setup.batch(torch.arange(6), 3), setup.normalise(setup.x[:6])
    assert batch.teacher is not None
    for seen, net in ((batch.student, setup.student), (batch.teacher, setup.teacher)):
        assert seen.features[-1].min() < 0 <= net(x).features[-1].min()
    assert batch.student_net is setup.student
    assert batch.teacher_net is setup.reread is not setup.teacher
    list(run(spec, tmp_path, weights))
    assert kept(tmp_path).keys() == parts(taught("kd"), weights).student.state_dict().keys()


class Last(KD):
    """Ends with a student of noughts and tells what it was given to do so."""

    seen: ClassVar[list[list[Tensor]]] = []

    def finalize(self, student: Net, state: nn.Module | None, inputs: Iterable[Tensor]) -> None:
        assert student.training
        type(self).seen.append(list(inputs))
        for weight in student.parameters():
            weight.data.zero_()


def test_the_last_word_comes_once_and_before_all_that_is_kept(
    weights: Weights, as_kd: Callable[[type[Method]], None], tmp_path: Path
) -> None:
    as_kd(Last)
    Last.seen.clear()
    spec = taught()
    whole = list(run(spec, tmp_path / "whole", weights))
    assert len(Last.seen) == 1
    made = parts(spec, weights)
    assert torch.equal(torch.cat(Last.seen[0]), made.normalise(made.x))
    norms = [tensor.abs().sum().item() for name, tensor in kept(tmp_path / "whole").items() if "weight" in name]
    assert norms == [0.0] * len(norms)
    last = [event for event in whole if isinstance(event, Frame)][-1]
    assert not read_arrays(tmp_path / "whole" / last.file)["student_logits"].any(), "the last frame shows it"
    story = run(spec, tmp_path / "cut", weights)
    begun = []
    while sum(isinstance(event, Checkpoint) for event in begun) < WATCH.checkpoints:
        begun.append(next(story))
    story.close()
    saved = newest(tmp_path / "cut")
    assert saved is not None
    assert saved.step == STEPS
    rest = list(run(spec, tmp_path / "cut", weights))
    assert isinstance(rest[-1], Finished)
    assert len(Last.seen) == 2, "a run resumed after its last step has had its last word"
    assert begun + rest[1:] == whole


def test_terms_of_a_method_are_what_is_told(weights: Weights, tmp_path: Path) -> None:
    """A negative weight, as a game between two players has one, is told as it is."""
    step = next(event for event in run(taught("hard_aug"), tmp_path, weights) if isinstance(event, Step))
    assert step.terms["stay"].weight < 0
    assert step.loss == pytest.approx(sum(term.weight * term.value for term in step.terms.values()))
