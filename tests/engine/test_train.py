"""The engine's promises: the same bits again, resumed or watched or not; changes are told; failures say why."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdcore.contracts.control import Audience, Command, Desk
from kdcore.contracts.data import silent
from kdcore.engine.build import dataset, said
from kdcore.engine.checkpoint import newest
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Changed, Checkpoint, Evaluated, Event, Finished, Frame, Started, Step
from kdcore.runs.changes import with_changes
from kdcore.runs.record import read_arrays
from kdcore.spec.reporting import marks
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Change, Choice, Spec, Watch, change

MLP = Choice(name="mlp", knobs={"width": 8, "depth": 1})
WATCH = Watch(points=10, evaluations=3, frames=3, checkpoints=5)
SHORT = Schedule(steps=60, batch=32, lr=0.05)


def moons(**changes: object) -> Spec:
    """A small run without a teacher."""
    settings: dict[str, object] = {
        "data": Choice(name="moons"), "student": MLP, "method": Choice(name="ce"), "schedule": SHORT, "watch": WATCH,
    }  # fmt: skip
    return Spec(**{**settings, **changes})


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a trained teacher for `distilled` specs."""
    folder = tmp_path_factory.mktemp("teacher")
    list(train(moons(student=Choice(name="mlp", knobs={"width": 16, "depth": 2})), folder))
    return folder / "student.safetensors"


def distilled(**changes: object) -> Spec:
    return moons(
        teacher=moons(student=Choice(name="mlp", knobs={"width": 16, "depth": 2})),
        **{"method": Choice(name="kd"), **changes},
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "student.safetensors")


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def take(events: Iterator[Event], last: type, count: int = 1) -> list[Event]:
    """Events up to the `count`-th of one kind; the generator is closed then, as a killed worker would."""
    seen = []
    for event in events:
        seen.append(event)
        count -= isinstance(event, last)
        if count == 0:
            break
    return seen


@pytest.mark.parametrize(("steps", "count"), [(1, 1), (7, 200), (100, 7), (1000, 40)])
def test_marks_end_with_the_last_step_and_never_hold_zero(steps: int, count: int) -> None:
    found = marks(steps, count)
    assert found[-1] == steps
    assert 0 not in found
    assert len(found) == min(steps, count)


def test_the_story_has_its_shape(tmp_path: Path) -> None:
    story = list(train(moons(), tmp_path))
    assert isinstance(story[0], Started)
    assert isinstance(story[-1], Finished)
    assert not any(isinstance(event, (Started, Finished)) for event in story[1:-1])
    assert [event.step for event in story] == sorted(event.step for event in story)
    assert sum(isinstance(event, Step) for event in story) == WATCH.points
    assert [e.step for e in story if isinstance(e, Evaluated) and e.split == "test"] == [60]
    for event in story:
        if isinstance(event, (Frame, Checkpoint)):
            assert (tmp_path / event.file).stat().st_size > 0


def test_a_run_without_teacher_learns(tmp_path: Path) -> None:
    story = list(train(moons(schedule=Schedule(steps=300, batch=32, lr=0.1)), tmp_path))
    first = next(event for event in story if isinstance(event, Evaluated))
    assert story[-1].result["student_accuracy"] > max(0.8, first.student.accuracy)


@pytest.mark.parametrize("data", ["moons", "digits"])
@pytest.mark.parametrize("augment", ["none", "shift"])
def test_the_same_spec_gives_the_same_bits(data: str, augment: str, tmp_path: Path) -> None:
    spec = moons(data=Choice(name=data), source=Choice(name="data", knobs={"augment": augment}))
    first, second = (list(train(spec, tmp_path / name)) for name in "ab")
    assert first == second
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_another_seed_gives_other_bits(tmp_path: Path) -> None:
    for seed in (0, 1):
        list(train(moons(seed=seed), tmp_path / str(seed)))
    assert not same(weights(tmp_path / "0"), weights(tmp_path / "1"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("method", ["kd", "fitnet"])
def test_resumed_equals_uninterrupted(optimizer: str, method: str, teacher: Path, tmp_path: Path) -> None:
    knobs = {"augment": "shift"} if method == "kd" else {}
    schedule = Schedule(steps=60, batch=32, lr=0.01, optimizer=optimizer, decay="step", warmup=0.1)
    spec = distilled(schedule=schedule, method=Choice(name=method), source=Choice(name="data", knobs=knobs))
    whole = list(train(spec, tmp_path / "whole", teacher_weights=teacher))
    begun = take(train(spec, tmp_path / "cut", teacher_weights=teacher), Checkpoint, 2)
    rest = list(train(spec, tmp_path / "cut", teacher_weights=teacher))
    assert rest[0].step == begun[-1].step > 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert whole == begun + rest[1:]


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    spec = moons()
    begun = take(train(spec, tmp_path), Checkpoint, 3)
    saved = [event for event in begun if isinstance(event, Checkpoint)]
    (tmp_path / saved[-1].file).write_bytes(b"half a file")
    assert next(train(spec, tmp_path)).step == saved[-2].step


def test_dropout_and_batch_norm_resume_bitwise(tmp_path: Path) -> None:
    spec = moons(data=Choice(name="digits"), student=Choice(name="cnn", knobs={"width": 8}))
    list(train(spec, tmp_path / "whole"))
    take(train(spec, tmp_path / "cut"), Checkpoint, 3)
    list(train(spec, tmp_path / "cut"))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


class Script(Desk):
    """A desk that reads wishes from a list of (call, command) and notes what it is shown."""

    def __init__(self, *wishes: tuple[int, Command], audience: Audience | None = None) -> None:
        self.wishes, self.calls, self.shown = list(wishes), 0, []
        self.present = audience or Audience()

    def commands(self) -> list[Command]:
        self.calls += 1
        return [command for call, command in self.wishes if call == self.calls]

    def audience(self) -> Audience:
        return self.present

    def show(self, channel: str, arrays: dict[str, np.ndarray]) -> None:
        self.shown.append((channel, arrays))


def test_watching_changes_no_bit(teacher: Path, tmp_path: Path) -> None:
    desk = Script(audience=Audience(frames_hz=1000, field_hz=1000))
    story = list(train(distilled(), tmp_path / "watched", teacher_weights=teacher, desk=desk))
    assert story == list(train(distilled(), tmp_path / "alone", teacher_weights=teacher))
    assert same(weights(tmp_path / "watched"), weights(tmp_path / "alone"))
    assert {channel for channel, _ in desk.shown} == {"frame", "field"}


def test_steps_while_paused_are_counted(tmp_path: Path) -> None:
    desk = Script(
        (1, Command("pause")), (2, Command("step", 3)), (6, Command("step")), (9, Command("cancel")),
        audience=Audience(frames_hz=1),
    )  # fmt: skip
    story = list(train(moons(), tmp_path, desk=desk))
    assert not any(isinstance(event, Finished) for event in story)
    shown = [int(arrays["step"]) for channel, arrays in desk.shown if channel == "frame"]
    assert shown[0] == 0
    assert shown[-1] == 4
    assert Frame(step=4, file="frames/00000004.npz") in story  # what was on show last is kept


def test_cancel_ends_the_story_without_finished(tmp_path: Path) -> None:
    story = list(train(moons(), tmp_path, desk=Script((1, Command("cancel")))))
    assert [type(event) for event in story] == [Started, Evaluated, Frame]
    assert not (tmp_path / "student.safetensors").exists()


def test_a_stopped_run_is_scored_where_it_stands(tmp_path: Path) -> None:
    until = Script((1, Command("pause")), (2, Command("step", 5)), (8, Command("cancel")))
    stopped = [event for event in train(moons(), tmp_path, desk=until) if isinstance(event, Evaluated)]
    assert [(event.step, event.split) for event in stopped] == [(0, "val"), (5, "val")]


def test_a_paused_run_is_scored_once_where_it_stands(tmp_path: Path) -> None:
    class Patient(Script):
        """Stays paused until the score at the step where it rests was told."""

        def commands(self) -> list[Command]:
            rests = scored and scored[-1].step == 5
            return [Command("resume")] if rests else super().commands()

    scored: list[Evaluated] = []
    desk = Patient((1, Command("pause")), (2, Command("step", 5)))
    for event in train(moons(), tmp_path / "paused", desk=desk):
        scored += [event] if isinstance(event, Evaluated) else []
    whole = [event for event in train(moons(), tmp_path / "whole") if isinstance(event, Evaluated)]
    assert [event for event in scored if event.step != 5] == whole
    assert sum(event.step == 5 for event in scored) == 1
    assert same(weights(tmp_path / "paused"), weights(tmp_path / "whole"))


def test_a_stopped_run_goes_on_from_where_it_was_stopped(teacher: Path, tmp_path: Path) -> None:
    whole = list(train(distilled(), tmp_path / "whole", teacher_weights=teacher))
    desk = Script((1, Command("pause")), (2, Command("step", 4)), (7, Command("cancel")))
    begun = list(train(distilled(), tmp_path / "cut", teacher_weights=teacher, desk=desk))
    left = [event for event in begun if event.step == 4]
    assert [type(event) for event in left if not isinstance(event, Evaluated)] == [Step, Frame, Checkpoint]
    assert [event.split for event in left if isinstance(event, Evaluated)] == ["val"]
    assert sum(isinstance(event, Checkpoint) for event in begun) == 1
    at_once = list(train(distilled(), tmp_path / "cut", teacher_weights=teacher, desk=Script((1, Command("cancel")))))
    assert not any(isinstance(event, (Step, Checkpoint)) for event in at_once)
    rest = list(train(distilled(), tmp_path / "cut", teacher_weights=teacher))
    assert rest[0].step == 4
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert rest[-1] == whole[-1]


def test_a_change_is_told_and_acts(teacher: Path, tmp_path: Path) -> None:
    wish = Command("set", {"schedule.lr": 0.5, "method.temperature": 9.0})
    story = list(train(distilled(), tmp_path / "changed", teacher_weights=teacher, desk=Script((1, wish))))
    changes = [event for event in story if isinstance(event, Changed)]
    assert [(c.path, c.old, c.new) for c in changes] == [
        ("schedule.lr", 0.05, 0.5), ("method.temperature", 4.0, 9.0),
    ]  # fmt: skip
    assert next(event for event in story if isinstance(event, Step)).learning_rate > 0.4
    list(train(distilled(), tmp_path / "plain", teacher_weights=teacher))
    assert not same(weights(tmp_path / "changed"), weights(tmp_path / "plain"))


def test_changes_survive_a_resume(tmp_path: Path) -> None:
    desk = Script((1, Command("set", {"schedule.lr": 0.5})))
    take(train(moons(), tmp_path, desk=desk), Checkpoint)
    rest = list(train(moons(), tmp_path))
    assert next(event for event in rest if isinstance(event, Step)).learning_rate > 0.2


def test_planned_changes_repeat_a_run_that_was_changed_by_hand(teacher: Path, tmp_path: Path) -> None:
    """The same events and the same bits, also where the planned run is cut after its change and resumed."""
    desk = Script((1, Command("set", {"schedule.lr": 0.5, "method.temperature": 9.0})))
    by_hand = list(train(distilled(), tmp_path / "hand", teacher_weights=teacher, desk=desk))
    changed = [event for event in by_hand if isinstance(event, Changed)]
    made = [Change(step=one.step, path=one.path, value=one.new) for one in changed]
    spec = with_changes(distilled(), made)
    assert [one.path for one in spec.changes] == ["schedule.lr", "method.temperature"]
    assert list(train(spec, tmp_path / "planned", teacher_weights=teacher)) == by_hand
    assert same(weights(tmp_path / "hand"), weights(tmp_path / "planned"))
    take(train(spec, tmp_path / "cut", teacher_weights=teacher), Checkpoint)
    rest = list(train(spec, tmp_path / "cut", teacher_weights=teacher))
    assert same(weights(tmp_path / "hand"), weights(tmp_path / "cut"))
    assert rest[-1] == by_hand[-1]


def test_a_change_by_hand_after_the_last_checkpoint_is_made_again_on_resume(tmp_path: Path) -> None:
    """The checkpoint does not know of it, but the spec of the run does."""
    take(train(moons(), tmp_path / "cut"), Checkpoint)
    step = newest(tmp_path / "cut").step
    spec = with_changes(moons(), [Change(step=step, path="schedule.lr", value=0.5)])
    rest = list(train(spec, tmp_path / "cut"))
    whole = list(train(spec, tmp_path / "whole"))
    assert any(isinstance(event, Changed) for event in rest)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert rest[-1] == whole[-1]


def test_a_change_after_the_end_is_refused(tmp_path: Path) -> None:
    spec = with_changes(moons(), [Change(step=10_000, path="schedule.lr", value=0.5)])
    with pytest.raises(BadInput, match="but the run has"):
        list(train(spec, tmp_path))


def test_a_setting_set_to_what_it_was_is_no_change(tmp_path: Path) -> None:
    desk = Script((1, Command("set", {"schedule.lr": moons().schedule.lr})))
    assert not any(isinstance(event, Changed) for event in train(moons(), tmp_path, desk=desk))


@pytest.mark.parametrize("path", ["schedule.steps", "seed", "method.nonsense"])
def test_what_must_not_change_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be changed during a run"):
        list(train(moons(), tmp_path, desk=Script((1, Command("set", {path: 1})))))


def test_a_knob_that_shaped_the_connector_is_refused() -> None:
    spec = distilled(method=Choice(name="fitnet"))
    assert change(spec, "method.hint_weight", 3.0).method.knobs["hint_weight"] == 3.0
    with pytest.raises(BadInput, match=r"'method\.hint' cannot be changed during a run"):
        change(spec, "method.hint", 1)


def test_a_loss_that_explodes_is_one_sentence(tmp_path: Path) -> None:
    spec = moons(schedule=Schedule(steps=200, batch=32, lr=10.0, momentum=0.99, weight_decay=1.0))
    with pytest.raises(BadInput, match="stopped being finite by step"):
        list(train(spec, tmp_path))


def test_a_missing_teacher_or_gpu_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run its teacher first"):
        list(train(distilled(), tmp_path))
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="has none; choose device 'auto' or 'cpu'"):
            list(train(moons(device="cuda"), tmp_path))


def test_weights_of_another_network_are_refused(teacher: Path, tmp_path: Path) -> None:
    spec = moons(teacher=moons(), method=Choice(name="kd"))
    with pytest.raises(BadInput, match="cannot be used"):
        list(train(spec, tmp_path, teacher_weights=teacher))


def test_frames_hold_what_record_promises(teacher: Path, tmp_path: Path) -> None:
    story = list(train(distilled(), tmp_path, teacher_weights=teacher))
    static = read_arrays(tmp_path / "static.npz")
    frame = read_arrays(tmp_path / [event for event in story if isinstance(event, Frame)][-1].file)
    rows = len(static["probe_labels"])
    assert static["teacher_logits"].shape == frame["student_logits"].shape == (rows, 2)
    assert frame["field_class"].shape == frame["field_teacher_share"].shape == static["teacher_field_class"].shape
    assert list(frame["gradient_names"]) == ["labels", "kd"]
    np.testing.assert_allclose(np.diag(frame["gradient_cosines"]), 1, atol=1e-6)
    agree = frame["field_class"] == static["teacher_field_class"]
    np.testing.assert_array_equal(frame["field_share"][agree], frame["field_teacher_share"][agree])


@pytest.mark.parametrize(("access", "method"), [("logits", "kd"), ("probabilities", "kd"), ("labels", "hard_label")])
def test_a_narrow_access_still_distils(access: str, method: str, teacher: Path, tmp_path: Path) -> None:
    spec = distilled(access=access, method=Choice(name=method))
    assert isinstance(list(train(spec, tmp_path, teacher_weights=teacher))[-1], Finished)


def test_probabilities_teach_kd_what_logits_teach(teacher: Path, tmp_path: Path) -> None:
    for access in ("logits", "probabilities"):
        list(train(distilled(access=access), tmp_path / access, teacher_weights=teacher))
    ours, theirs = weights(tmp_path / "logits"), weights(tmp_path / "probabilities")
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-4, rtol=1e-3)


def test_bf16_trains(tmp_path: Path) -> None:
    story = list(train(moons(schedule=Schedule(steps=30, precision="bf16")), tmp_path))
    assert isinstance(story[-1], Finished)


def test_a_teacher_says_the_same_of_a_split_until_weights_or_data_are_others(teacher: Path, tmp_path: Path) -> None:
    spec, other = moons().data, Choice(name="circles")

    def told(number: float, weights: Path = teacher, split: str = "test", data: Choice = spec) -> float:
        return said(weights, data, split, torch.device("cpu"), lambda: torch.tensor(number)).item()

    for data in (other, spec):
        dataset(data, tmp_path, silent)
    assert [told(1.0), told(2.0), told(3.0, split="val"), told(4.0)] == [1.0, 1.0, 3.0, 1.0]
    assert [told(4.0, data=other), told(1.0)] == [4.0, 1.0]
    fresh = tmp_path / "again.safetensors"
    fresh.write_bytes(teacher.read_bytes())
    assert [told(5.0, fresh), told(6.0, fresh)] == [5.0, 5.0]
    os.utime(fresh, ns=(1, 1))
    assert told(7.0, fresh) == 7.0
    dataset(spec, tmp_path, silent)
    assert told(8.0) == 1.0
    dataset(other, tmp_path, silent)
    assert told(9.0) == 9.0
