"""What the networks are shown beside a batch, or in its place: a second view, held-out rows, mixtures."""

from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from small_run import SCHEDULE, Weights, parts, taught
from torch import Generator, Tensor

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Method, Shown
from kdcore.contracts.outputs import Outputs
from kdcore.engine.row_splits import HELD
from kdcore.errors import BadInput
from kdcore.methods.kd import KD
from kdcore.sources.data import DataSource

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
    drawn, held = made.learned, made.held
    assert sorted([*drawn.tolist(), *held.tolist()]) == list(range(len(made.y)))
    assert len(held) == round(HELD * len(made.y))
    trained = made.indices(0)
    epochs = torch.cat([next(trained) for _ in range(4 * len(drawn) // SCHEDULE.batch)])
    assert set(epochs.tolist()) == set(drawn.tolist())
    other = parts(spec.model_copy(update={"seed": 5}), weights)
    assert torch.equal(held, other.held)


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
    held = made.held
    assert rows_of(inputs) <= rows_of(made.normalise(made.x[held]))
    again = made._validation(16, step=0)
    assert torch.equal(again.labels, view.labels)
    assert torch.equal(again.student.logits, view.student.logits)
    assert not torch.equal(made._validation(16, step=1).student.logits, view.student.logits)


def test_without_the_wish_every_row_is_trained_on(weights: Weights) -> None:
    made = parts(taught(), weights)
    drawn, held = made.learned, made.held
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
    assert not made.answers.cache.filled
    batch = made.batch(torch.arange(8), step=3)
    assert batch.shown is not None
    assert made.teacher is not None
    assert torch.equal(batch.teacher.logits, made.teacher(batch.shown.teacher).logits)
    assert torch.equal(batch.inputs, batch.shown.student)
    plain = parts(taught("kd"), weights)
    assert plain.answers is not None
    assert plain.answers.cache.filled


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

    def mix_inputs(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        teacher(inputs)
        raise AssertionError("there is no teacher")


def test_who_asks_a_teacher_that_is_not_there_is_told(weights: Weights, as_kd: Callable[[type[Method]], None]) -> None:
    as_kd(Curious)
    made = parts(taught().model_copy(update={"teacher": None}), weights)
    with pytest.raises(BadInput, match="the run has none; add a teacher"):
        made.batch(torch.arange(8), step=0)
