"""What a method may ask of the engine beyond a batch and a teacher, and that asking never costs the same bits."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from kdcore import attend, setup
from kdcore.checkpoint import newest, save_tensors
from kdcore.contracts import Ask, Audience, Batch, Desk, Grant, Method, Outputs, Shown
from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Event, Finished, Frame, Started, Step
from kdcore.lineage import lineage
from kdcore.methods.kd import KD
from kdcore.net import Net
from kdcore.record import read_arrays
from kdcore.registry import DATA, METHODS
from kdcore.setup import Setup, network
from kdcore.sources.data import DataSource
from kdcore.spec import Choice, Schedule, Spec, Watch
from kdcore.train import train

torch.set_num_threads(1)
STEPS = 12
DIGITS = Choice(name="digits", knobs={"train_fraction": 0.3})
WATCH = Watch(points=4, evaluations=1, frames=2, checkpoints=4)
CUT = 9  # the third checkpoint, when all that begins in the middle of a run has begun
SCHEDULE = Schedule(steps=STEPS, batch=32, lr=0.05)
TEACHER = Spec(
    data=DIGITS, student=Choice(name="cnn", knobs={"width": 8}), method=Choice(name="ce"),
    schedule=SCHEDULE, watch=WATCH,
)  # fmt: skip


def taught(method: str = "kd", **knobs: object) -> Spec:
    """A small run of one method, with the teachers it wants."""
    teacher = TEACHER if METHODS[method].needs else None
    student = Choice(name="cnn", knobs={"width": 4})
    chosen = Choice(name=method, knobs=knobs)
    return lineage(Spec(data=DIGITS, student=student, method=chosen, teacher=teacher, schedule=SCHEDULE, watch=WATCH))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Spec], Path]:
    """The weights of a network as it is before its first step: as good a teacher as any where bits are compared."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def of(name: str) -> Path:
        spec = Spec.model_validate_json(name)
        torch.manual_seed(spec.seed)
        shape, classes = DATA[spec.data.name](**spec.data.knobs).signature()
        save_tensors(folder / spec.hash, dict(network(spec, shape, classes).state_dict()), {})
        return folder / spec.hash

    return lambda spec: of(spec.model_dump_json())


Weights = Callable[[Spec], Path]


def run(spec: Spec, folder: Path, weights: Weights, desk: Desk | None = None) -> Iterator[Event]:
    """The story of a run whose teachers are as `weights` makes them."""
    return train(
        spec,
        folder,
        teacher_weights=weights(spec.teacher) if spec.teacher else None,
        mentor_weights=[weights(mentor) for mentor in spec.mentors],
        desk=desk,
    )


def parts(spec: Spec, weights: Weights) -> Setup:
    """What a run of `spec` is made of."""
    teacher = weights(spec.teacher) if spec.teacher else None
    return Setup(spec, Path(), teacher, lambda *_: None, [weights(mentor) for mentor in spec.mentors])


@pytest.fixture
def as_kd(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Method]], None]:
    """Put a method of the test's own in the place of "kd"."""
    return lambda method: monkeypatch.setattr(setup, "METHODS", {**METHODS, "kd": method})


def kept(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "student.safetensors")


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# --- the same bits, for every method ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(
    weights: Weights, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[list[Event], Path]]:
    """The story and folder of a run of each method that nobody stops or watches."""

    @cache
    def of(method: str) -> tuple[list[Event], Path]:
        folder = tmp_path_factory.mktemp(method)
        return list(run(taught(method), folder, weights)), folder

    return of


Whole = Callable[[str], tuple[list[Event], Path]]


@pytest.mark.parametrize("method", list(METHODS))
def test_stopped_and_resumed_equals_uninterrupted(
    method: str, weights: Weights, uninterrupted: Whole, tmp_path: Path
) -> None:
    story, folder = uninterrupted(method)
    begun: list[Event] = []
    for event in run(taught(method), tmp_path, weights):
        begun.append(event)
        if isinstance(event, Checkpoint) and event.step == CUT:
            break
    rest = list(run(taught(method), tmp_path, weights))
    assert rest[0].step == begun[-1].step == CUT
    assert begun + rest[1:] == story
    assert same(kept(folder), kept(tmp_path))


class Eager(Desk):
    """A desk that looks as often as it is let."""

    def __init__(self) -> None:
        self.frames = 0

    def audience(self) -> Audience:
        return Audience(frames_hz=1e9)

    def show(self, channel: str, arrays: dict[str, np.ndarray]) -> None:
        self.frames += channel == "frame"


@pytest.mark.parametrize("method", list(METHODS))
def test_watching_every_step_changes_no_bit(
    method: str, weights: Weights, uninterrupted: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend, "LOOK_S", 0.0)
    monkeypatch.setattr(attend, "FRAME_SHARE", 1e9)
    story, folder = uninterrupted(method)
    desk = Eager()
    assert list(run(taught(method), tmp_path, weights, desk)) == story
    assert desk.frames == STEPS
    assert same(kept(folder), kept(tmp_path))


# --- a second view ---------------------------------------------------------------------------------------------------


def pixels(channels: int = 3, side: int = 16) -> Tensor:
    return torch.randint(0, 256, (20, channels, side, side), dtype=torch.uint8, generator=Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 32])
def test_a_strong_view_keeps_shape_and_kind_and_is_another(channels: int, side: int) -> None:
    x = pixels(channels, side)
    seen = DataSource().strengthen(x, seed=1, step=2)
    assert seen.shape == x.shape
    assert seen.dtype == x.dtype
    assert sum(not torch.equal(image, source) for image, source in zip(seen, x, strict=True)) > 15


def test_a_strong_view_of_features_is_near_them() -> None:
    x = torch.randn(200, 2)
    seen = DataSource().strengthen(x, seed=1, step=2)
    assert seen.shape == x.shape
    assert seen.dtype == x.dtype
    assert (seen - x).std().item() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("x", [pixels(), torch.randn(20, 2)])
def test_a_strong_view_is_a_function_of_seed_and_step(x: Tensor) -> None:
    views = [DataSource().strengthen(x, seed, step) for seed, step in ((1, 2), (1, 2), (1, 3), (2, 2))]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert not torch.equal(views[0], views[3])


def test_a_strong_view_leaves_all_other_chance_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.manual_seed` would seed the GPUs too, whose state is not put back."""
    monkeypatch.setattr(torch, "manual_seed", lambda _: pytest.fail("seeds every device"))
    before = torch.get_rng_state()
    DataSource().strengthen(pixels(), 1, 2)
    assert torch.equal(before, torch.get_rng_state())


class Twice(KD):
    """Asks for a second view."""

    asks: ClassVar[frozenset[Ask]] = frozenset({"second_view"})


def test_both_networks_answer_the_second_view(weights: Weights, as_kd: Callable[[type[Method]], None]) -> None:
    as_kd(Twice)
    made = parts(taught(), weights)
    index = torch.arange(8)
    batch = made.batch(index, step=3)
    assert batch.second is not None
    assert made.teacher is not None
    assert batch.validation is None
    inputs = made.normalise(made.source.strengthen(made.x[index], made.spec.seed, 3))
    assert torch.equal(batch.second.teacher.logits, made.teacher(inputs).logits)
    assert not torch.equal(batch.second.teacher.logits, batch.teacher.logits)
    assert torch.equal(batch.second.labels, batch.labels)
    torch.testing.assert_close(batch.second.student.logits, made.student(inputs).logits)


# --- validation rows -------------------------------------------------------------------------------------------------


class Careful(KD):
    """Asks for rows that are kept apart."""

    asks: ClassVar[frozenset[Ask]] = frozenset({"validation"})


def rows_of(inputs: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in inputs}


def test_validation_rows_are_fixed_and_never_trained_on(
    weights: Weights, as_kd: Callable[[type[Method]], None]
) -> None:
    as_kd(Careful)
    spec = taught()
    made = parts(spec, weights)
    drawn, held = made._held_out()
    assert sorted([*drawn.tolist(), *held.tolist()]) == list(range(len(made.y)))
    assert len(held) == round(setup.HELD * len(made.y))
    trained = made.indices(0)
    epochs = torch.cat([next(trained) for _ in range(4 * len(drawn) // SCHEDULE.batch)])
    assert set(epochs.tolist()) == set(drawn.tolist())
    other = parts(spec.model_copy(update={"seed": 5}), weights)
    assert torch.equal(held, other._held_out()[1])


def test_validation_rows_are_answered_without_a_trace(weights: Weights, as_kd: Callable[[type[Method]], None]) -> None:
    as_kd(Careful)
    made = parts(taught(), weights)
    seen: list[tuple[bool, Tensor]] = []
    made.student.register_forward_pre_hook(lambda net, given: seen.append((net.training, given[0])))
    before = {name: buffer.clone() for name, buffer in made.student.named_buffers()}
    view = made._validation(16, step=0)
    assert made.student.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in made.student.named_buffers())
    assert view.teacher is None
    assert view.student.logits.requires_grad
    assert (view.labels >= 0).all()
    [(training, inputs)] = seen
    assert not training
    held = made._held_out()[1]
    assert rows_of(inputs) <= rows_of(made.normalise(made.x[held]))
    again = made._validation(16, step=0)
    assert torch.equal(again.labels, view.labels)
    assert torch.equal(again.student.logits, view.student.logits)
    assert not torch.equal(made._validation(16, step=1).student.logits, view.student.logits)


def test_without_the_wish_every_row_is_trained_on(weights: Weights) -> None:
    made = parts(taught(), weights)
    drawn, held = made._held_out()
    assert len(held) == 0
    assert len(drawn) == len(made.y)


# --- mixing ----------------------------------------------------------------------------------------------------------


def test_the_generator_decides_what_is_shown(weights: Weights) -> None:
    spec = taught("funmatch")
    made, again = parts(spec, weights), parts(spec, weights)
    other = parts(spec.model_copy(update={"seed": 1}), weights)
    index = torch.arange(8)
    before = torch.get_rng_state()
    first = made.batch(index, step=3)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.inputs, again.batch(index, step=3).inputs)
    assert not torch.equal(first.inputs, again.batch(index, step=4).inputs)
    assert not torch.equal(first.inputs, other.batch(index, step=3).inputs)


def test_the_teacher_answers_what_it_is_shown_and_keeps_nothing(weights: Weights) -> None:
    made = parts(taught("funmatch", views="independent"), weights)
    assert made.source.static
    assert made.answers is not None
    assert made.answers.kept is None
    batch = made.batch(torch.arange(8), step=3)
    assert batch.shown is not None
    assert made.teacher is not None
    assert torch.equal(batch.teacher.logits, made.teacher(batch.shown.teacher).logits)
    assert torch.equal(batch.inputs, batch.shown.student)
    plain = parts(taught("kd"), weights)
    assert plain.answers is not None
    assert plain.answers.kept is not None


def test_labels_and_rows_follow_what_is_shown(weights: Weights) -> None:
    made = parts(taught("cutmixpick"), weights)
    index = torch.arange(40, 48)
    batch = made.batch(index, step=3)
    assert batch.shown is not None
    assert batch.shown.row is not None
    assert len(batch.labels) == len(batch.student.logits) == len(batch.teacher.logits) == 16
    assert torch.equal(batch.index, index[batch.shown.row])
    assert torch.equal(batch.labels, made.y[batch.index])


class Curious(KD):
    """Mixes, and asks a teacher that need not be there."""

    needs: ClassVar[frozenset[Grant]] = frozenset()
    asks: ClassVar[frozenset[Ask]] = frozenset({"mixing"})

    def show(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        teacher(inputs)
        raise AssertionError("there is no teacher")


def test_who_asks_a_teacher_that_is_not_there_is_told(weights: Weights, as_kd: Callable[[type[Method]], None]) -> None:
    as_kd(Curious)
    made = parts(taught().model_copy(update={"teacher": None}), weights)
    with pytest.raises(BadInput, match="the run has none; add a teacher"):
        made.batch(torch.arange(8), step=0)


# --- notes, and what a method shows of itself ------------------------------------------------------------------------


class Talkative(KD):
    """Tells how far the run is, and what it is shown when only looked at."""

    def notes(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        return {"progress": torch.tensor(batch.progress), "rows": torch.tensor(len(batch.labels))}

    def observe(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
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

    def remodel(self, student: Net, teacher: Net | None) -> Net:
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


class Last(KD):
    """Ends with a student of noughts and tells what it was given to do so."""

    seen: ClassVar[list[list[Tensor]]] = []

    def conclude(self, student: Net, state: nn.Module | None, inputs: Iterable[Tensor]) -> None:
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
