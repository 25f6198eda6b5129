"""Whole runs behind a wall: what is counted, where a budget ends them, and what a broken one has to pay again."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_run import DIGITS, SCHEDULE, SMALL, STEPS, TEACHER, WATCH, Weights, kept, run, same

from kdcore.contracts.access import Access
from kdcore.contracts.data import silent
from kdcore.contracts.service import Answered
from kdcore.engine.build import dataset, network
from kdcore.engine.checkpoint import load_weights, save_tensors
from kdcore.engine.setup import Setup
from kdcore.errors import BadInput
from kdcore.events import Asked, Checkpoint, Evaluated, Event, Finished, Meter, Started, Step
from kdcore.jobs import log
from kdcore.jobs.log import Heard
from kdcore.runs.ledger import Ledger
from kdcore.spec.spec import Choice, Spec, Wall, parse

CNN = Choice(name="cnn", knobs={"width": 4})


def walled(method: str = "mekd", source: str = "mekd", access: Access = "probabilities", **wall: object) -> Spec:
    knobs = dict(SMALL) if source == "mekd" else {}
    return Spec(
        data=DIGITS, student=CNN, method=Choice(name=method), source=Choice(name=source, knobs=knobs), teacher=TEACHER,
        access=access, wall=Wall(**wall), schedule=SCHEDULE, watch=WATCH,
    )  # type: ignore[arg-type]  # fmt: skip


def with_source(spec: Spec, **knobs: object) -> Spec:
    raw = spec.model_dump(mode="json")
    raw["source"]["knobs"] |= knobs
    return parse(raw)


def finished(story: list[Event]) -> Finished:
    assert isinstance(story[-1], Finished)
    return story[-1]


def meter(story: list[Event]) -> Meter:
    found = finished(story).meter
    assert found
    return found


def test_every_question_is_counted(weights: Weights, tmp_path: Path) -> None:
    story = list(run(walled(), tmp_path, weights))
    lead, batch = SMALL["steps"] * SMALL["real"], STEPS * SCHEDULE.batch
    told = meter(story)
    assert (told.images, told.local, told.looked) == (lead + batch, 0, 0)
    assert told.requests == SMALL["steps"] + STEPS
    assert told.bytes_up == 4 * 64 * told.images
    assert told.bytes_down == 4 * 10 * told.images
    asked = [step.meter.images for step in story if isinstance(step, Step) and step.meter]
    assert asked == sorted(asked)
    assert [step.lead for step in story if isinstance(step, Step)].count(True) >= 1


def test_with_labels_the_lead_costs_nothing(weights: Weights, tmp_path: Path) -> None:
    told = meter(list(run(walled(access="labels"), tmp_path, weights)))
    assert (told.images, told.bytes_down) == (STEPS * SCHEDULE.batch, 4 * STEPS * SCHEDULE.batch)


def test_a_pool_is_asked_about_once(weights: Weights, tmp_path: Path) -> None:
    spec = with_source(walled(access="labels"), pool=50, nets="usual")
    told = meter(list(run(spec, tmp_path, weights)))
    assert told.images <= 50
    assert told.images + told.cached == STEPS * SCHEDULE.batch


def test_local_images_are_asked_about_once_and_counted_as_local(weights: Weights, tmp_path: Path) -> None:
    story = list(run(walled("kd", "data"), tmp_path, weights))
    assert isinstance(story[0], Started)
    told = meter(story)
    assert told.images == told.local == story[0].rows["train"]


def test_a_budget_ends_a_run_and_keeps_what_was_learned(weights: Weights, tmp_path: Path) -> None:
    budget = SMALL["steps"] * SMALL["real"] + 3 * SCHEDULE.batch + 5
    story = list(run(walled(budget=budget), tmp_path, weights))
    end = finished(story)
    assert end.spent
    assert end.step == SMALL["steps"] + 3
    assert meter(story).images == budget - 5
    scored = [event.step for event in story if isinstance(event, Evaluated)]
    assert scored[-2:] == [end.step, end.step], "on validation rows, too, where it ended"
    assert "student_accuracy" in end.result
    assert (tmp_path / "student.safetensors").exists()


def test_a_budget_of_fewer_images_than_the_edge_has_is_kept_to(weights: Weights, tmp_path: Path) -> None:
    story = list(run(walled("kd", "data", budget=70), tmp_path, weights))
    assert finished(story).spent
    assert meter(story).images == 2 * SCHEDULE.batch


@pytest.mark.parametrize("breaks", [(), (1,), (2,), (1, 2, 2)], ids=str)
def test_a_run_that_breaks_off_pays_nothing_twice(weights: Weights, tmp_path: Path, breaks: tuple[int, ...]) -> None:
    """However often it breaks off behind a checkpoint, its events are those of an uninterrupted run, meter included;
    what it paid before and has not come to use again is told beside them."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    story = list(run(walled(), whole, weights))
    told: list[Event] = []
    for checkpoints in breaks:
        begun = []
        for event in run(walled(), broken, weights):
            begun.append(event)
            if sum(isinstance(one, Checkpoint) for one in begun) == checkpoints and isinstance(event, Step):
                break  # some answers are later than the newest checkpoint
        told = resumed(told, begun)
    told = resumed(told, list(run(walled(), broken, weights)))
    assert [event for event in told if not isinstance(event, Asked)] == story
    known = [Ledger(folder / "asked.bin", 10) for folder in (whole, broken)]
    assert list(known[0].places) == list(known[1].places)
    assert len(known[1]) == meter(story).images
    assert same(kept(whole), kept(broken))


def resumed(told: list[Event], more: list[Event]) -> list[Event]:
    """What a run told in two attempts, without what it told twice."""
    heard = [Heard(seq, 0.0, event) for seq, event in enumerate([*told, *more])]
    return [one.event for one in log.story(heard)]


def test_answers_that_only_a_lost_attempt_used_are_in_the_final_bill(weights: Weights, tmp_path: Path) -> None:
    """A resumed run that goes another way than before the break names all that was paid, and keeps the budget."""
    whole = meter(list(run(walled(), tmp_path / "whole", weights))).images
    batch, changed = SCHEDULE.batch, 0
    for event in run(walled(budget=whole + batch), tmp_path, weights):
        changed += isinstance(event, Checkpoint)
        if changed == 2 and isinstance(event, Step):
            break
    foreign(tmp_path, batch)
    end = finished(list(run(walled(budget=whole + batch), tmp_path, weights)))
    assert end.meter
    assert end.meter.images == whole + batch
    assert end.meter.bytes_up == 256 * end.meter.images


def test_a_checkpoint_of_an_earlier_version_counts_all_that_was_asked(weights: Weights, tmp_path: Path) -> None:
    begun = []
    for event in run(walled(), tmp_path, weights):
        begun.append(event)
        if isinstance(event, Checkpoint):
            break
    path = tmp_path / begun[-1].file
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("meter.")}
    with safe_open(path, framework="pt") as stored:
        save_tensors(path, tensors, stored.metadata())
    foreign(tmp_path, 1000)
    steps = [one.meter for one in run(walled(), tmp_path, weights) if isinstance(one, Step) and one.meter]
    assert all(one.images > 1000 for one in steps)


def foreign(folder: Path, count: int) -> None:
    """Answers in a run's ledger to questions that nobody asks again."""
    digests = [f"{place:016d}".encode() for place in range(count)]
    answers = Answered(torch.zeros(count, 10))
    Ledger(folder / "asked.bin", 10).add(digests, answers, local=False, up=256, down=40)


def test_labels_are_all_that_a_student_behind_labels_sees(weights: Weights, tmp_path: Path) -> None:
    """A teacher whose logits are bent without moving a largest one teaches the same student."""
    plain, bent = tmp_path / "plain", tmp_path / "bent"
    list(run(walled(access="labels"), plain, weights))

    def doubled(spec: Spec) -> Path:
        tensors = load_file(weights(spec))
        head = [name for name in tensors if name.startswith("head")]
        assert head
        bent_weights = {name: tensor * (2.0 if name in head else 1.0) for name, tensor in tensors.items()}
        save_tensors(tmp_path / "bent.safetensors", bent_weights, {})
        return tmp_path / "bent.safetensors"

    list(run(walled(access="labels"), bent, doubled))
    assert same(kept(plain), kept(bent))


def test_the_second_step_leaves_generator_and_teacher_alone(weights: Weights, tmp_path: Path) -> None:
    cut = walled(access="labels")
    list(run(cut, tmp_path / "long", weights))
    short = parse(cut.model_dump(mode="json") | {"schedule": cut.schedule.model_dump() | {"steps": 1}})
    list(run(short, tmp_path / "short", weights))
    long, brief = (load_file(tmp_path / name / "source.safetensors") for name in ("long", "short"))
    assert all(torch.equal(long[name], brief[name]) for name in long)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"access": "white_box"}, "behind a wall grants logits, probabilities or labels"),
        ({"source": {"name": "data"}}, "asks for a source whose generator makes images of logits, but source 'data'"),
        ({"method": {"name": "crd"}, "access": "white_box", "wall": None}, "makes its images, and they have no label"),
        ({"teacher": None}, "Method 'mekd' needs a teacher"),
        ({"method": {"name": "fitnet"}}, "needs the teacher's features, but access 'probabilities'"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse(walled().model_dump(mode="json") | change)


def test_a_run_without_a_wall_counts_nothing(weights: Weights, tmp_path: Path) -> None:
    spec = parse(walled("kd", "data").model_dump(mode="json") | {"wall": None})
    story = list(run(spec, tmp_path, weights))
    assert finished(story).meter is None
    assert not (tmp_path / "asked.bin").exists()


# A teacher of other data


def test_a_teacher_of_other_data_reads_pixels_as_it_learned_to(weights: Weights, tmp_path: Path) -> None:
    plain = TEACHER.model_copy(update={"data": Choice(name="rendered", knobs={"samples": 200, "style": 0.0})})
    varied = Choice(name="rendered", knobs={"samples": 200, "style": 1.0, "train_fraction": 0.5})
    asked = parse(walled("kd", "data").model_copy(update={"data": varied, "teacher": plain}).model_dump(mode="json"))
    assert asked.teacher
    finished(list(run(asked.teacher, tmp_path / "teacher", weights)))
    taught = tmp_path / "teacher" / "student.safetensors"
    setup = Setup(asked, Path(), taught, lambda *_: None, [], tmp_path)
    theirs = dataset(asked.teacher.data, Path(), silent)
    assert theirs.mean != setup.data.mean
    x = torch.from_numpy(setup.data.val.x).float()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (theirs.mean, theirs.std))
    own = network(asked.teacher, setup.shape, 10)
    expected = load_weights(own, taught)((x / 255 - mean) / std).logits
    assert setup.teacher
    torch.testing.assert_close(setup.teacher(setup.normalise(x)).logits, expected, atol=1e-4, rtol=1e-4)
    assert meter(list(run(asked, tmp_path / "run", lambda _: taught))).images > 0


def test_a_teacher_of_other_points_is_asked_about_ours(weights: Weights, tmp_path: Path) -> None:
    moons, circles, net = (Choice(name=name) for name in ("moons", "circles", "mlp"))
    teacher = TEACHER.model_copy(update={"data": moons, "student": net})
    asked = walled("kd", "data").model_copy(update={"data": circles, "student": net, "teacher": teacher})
    assert (
        0 < finished(list(run(parse(asked.model_dump(mode="json")), tmp_path, weights))).result["teacher_accuracy"] < 1
    )
