"""The meter against what a server in another process received: with and without permission to measure, at a budget's
end, after lost answers, and where a run broke off."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counting import Received, counting, digest_of

from kdcore.contracts.control import Command, Desk
from kdcore.contracts.data import silent
from kdcore.engine.build import dataset
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Asked, Event, Finished, Meter, Started, Step
from kdcore.jobs.log import Heard, story
from kdcore.runs.bill import bill
from kdcore.runs.record import Record, gather
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Measure, Spec, Wall, Watch
from kdcore.teachers import http

LEVELS: tuple[Measure, ...] = ("nothing", "synthetic", "real")
WATCH = Watch(points=4, evaluations=2, frames=2, checkpoints=4)
DIGITS = Choice(name="digits", knobs={"train_fraction": 0.2})
CNN = Choice(name="cnn", knobs={"width": 4})
GENERATOR = {"steps": 4, "real": 16, "width": 8, "nets": "usual"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "sleep", lambda _: None)


def synthetic(url: str, **wall: Any) -> Spec:
    """MEKD against a server."""
    return Spec(
        data=DIGITS, student=CNN, method=Choice(name="mekd"), source=Choice(name="mekd", knobs=GENERATOR),
        service=service(url), access="probabilities", wall=Wall(price=2.0, **wall),
        schedule=Schedule(steps=8, batch=16), watch=WATCH,
    )  # fmt: skip


def service(url: str, **knobs: Any) -> Choice:
    return Choice(name="http", knobs={"url": url, "model": "faulty", "batch": 5, "answers": "probabilities"} | knobs)


def local(url: str, **wall: Any) -> Spec:
    """Plain distillation that sends all local images."""
    changes = {"method": Choice(name="kd", knobs={"label_weight": 0.0}), "source": Choice(name="data")}
    return Spec.model_validate(synthetic(url, **wall).model_dump(mode="json") | changes)


def done(spec: Spec, folder: Path) -> tuple[Finished, Meter]:
    last = list(train(spec, folder))[-1]
    assert isinstance(last, Finished)
    assert last.meter
    return last, last.meter


@cache
def real() -> frozenset[str]:
    """Digests of all images of the data."""
    data = dataset(synthetic("http://localhost:1").data, Path(), silent)
    return frozenset(digest_of(x / 255) for split in (data.train, data.val, data.test) for x in split.x)


def agree(spec: Spec, meter: Meter, received: Received) -> None:
    """The meter tells exactly what came."""
    assert len(set(received.images)) == meter.images + meter.looked
    assert len(received.images) == meter.images + meter.looked + meter.retried, "nothing was sent again without need"
    assert received.requests == meter.requests
    heads = meter.bytes_up - received.bytes_up
    assert 0 < heads < 400 * meter.requests or heads == meter.requests == 0, "bodies, and heads besides"
    images = {pixels for pixels in received.pixels if pixels in real()}
    assert meter.looked_real is not None
    assert len(images) == meter.local + meter.looked_real
    found = bill(spec, meter)
    assert found.images == len(set(received.images))
    assert found.real == len(images)
    assert found.dollars == pytest.approx(0.002 * len(set(received.images)))


@pytest.mark.parametrize("measure", LEVELS)
def test_without_permission_nothing_real_is_sent(measure: Measure, tmp_path: Path) -> None:
    with counting(8, 10) as server:
        spec = synthetic(server.url, measure=measure)
        finished, meter = done(spec, tmp_path)
        agree(spec, meter, server.received())
    assert (meter.looked > 0) == (measure != "nothing")
    assert bool(meter.looked_real) == ("agreement" in finished.result) == (measure == "real")
    assert "student_accuracy" in finished.result


@pytest.mark.parametrize("measure", LEVELS)
def test_an_image_that_was_learned_from_is_not_sent_again_to_measure(measure: Measure, tmp_path: Path) -> None:
    with counting(8, 10) as server:
        spec = local(server.url, measure=measure)
        _, meter = done(spec, tmp_path)
        agree(spec, meter, server.received())
    assert meter.local == meter.images > 0


@pytest.mark.parametrize("budget", [100, 150])
@pytest.mark.parametrize("measure", LEVELS)
def test_measuring_is_part_of_the_budget(measure: Measure, budget: int, tmp_path: Path) -> None:
    with counting(8, 10) as server:
        spec = synthetic(server.url, measure=measure, budget=budget)
        _, meter = done(spec, tmp_path)
        received = server.received()
    agree(spec, meter, received)
    assert len(set(received.images)) <= budget


POOLED = GENERATOR | {"pool": 40, "align": "none", "information": "none"}


def pooled(url: str, **wall: Any) -> Spec:
    """MEKD that learns from 40 images made once, and would measure at each step."""
    raw = synthetic(url, **wall).model_dump(mode="json")
    raw["watch"] |= {"frames": 12, "checkpoints": 12}
    return Spec.model_validate(raw | {"source": {"name": "mekd", "knobs": POOLED}})


@pytest.mark.parametrize("budget", [40, 60, 450, 1500])
@pytest.mark.parametrize("measure", LEVELS)
def test_learning_comes_first_and_measuring_takes_what_it_leaves(measure: Measure, budget: int, tmp_path: Path) -> None:
    """All of the pool is learned from, whatever might be measured; what is left may be used, and no more. What comes
    on the way leaves the end its 359 test rows."""
    with counting(8, 10) as server:
        spec = pooled(server.url, measure=measure, budget=budget)
        finished, meter = done(spec, tmp_path)
        agree(spec, meter, server.received())
    assert not finished.spent
    assert meter.images == 40
    assert meter.looked <= budget - 40
    assert (meter.looked > 0) == (measure != "nothing" and budget >= 450)
    assert ("agreement" in finished.result) == (measure == "real" and budget >= 450)


def test_a_run_that_broke_off_measures_as_one_that_did_not(tmp_path: Path) -> None:
    """What was measured before the break is paid for once, and leaves learning as much as without it."""
    found = []
    for name, breaks in (("whole", ()), ("broken", (5, 9))):
        with counting(8, 10) as server:
            spec = pooled(server.url, measure="real", budget=400)
            for stop in breaks:
                for event in train(spec, tmp_path / name):
                    if event.step >= stop and isinstance(event, Step):
                        break
            finished, meter = done(spec, tmp_path / name)
            agree(spec, meter, server.received())
            found.append((finished.result, meter.images, meter.looked, meter.looked_real))
    assert found[0] == found[1]
    assert found[0][1] == 40
    assert 0 < found[0][2] <= 360


def test_what_is_lost_and_sent_again_is_counted(tmp_path: Path) -> None:
    with counting(8, 10, *("-", "drop", "503", "-", "truncate", "garbage", "-", "half") * 4) as server:
        spec = synthetic(server.url, measure="real")
        _, meter = done(spec, tmp_path)
        agree(spec, meter, server.received())
    assert meter.retried > 0


def test_a_run_that_broke_off_tells_what_was_sent_in_vain(tmp_path: Path) -> None:
    with counting(8, 10, *("-",) * 7, "drop", *("-",) * 9, "503") as server:
        spec = synthetic(server.url, measure="real").model_copy(update={"service": service(server.url, retries=0)})
        spec = Spec.model_validate(spec.model_dump(mode="json"))
        for _ in range(2):
            with pytest.raises(BadInput, match="without success"):
                list(train(spec, tmp_path))
        _, meter = done(spec, tmp_path)
        agree(spec, meter, server.received())
    assert meter.retried >= 2


class Standing(Desk):
    """Pauses a run before its first step; later it hears one wish at a time."""

    def __init__(self) -> None:
        self.wishes = [Command("pause")]

    def commands(self) -> list[Command]:
        given, self.wishes = self.wishes, []
        return given


def newest(story: list[Event]) -> Meter:
    """What the last event with a meter says."""
    return next(meter for event in reversed(story) if (meter := getattr(event, "meter", None)))


@pytest.mark.parametrize("measure", LEVELS)
@pytest.mark.parametrize("stop", [3, 4, 5])  # in the lead, at its end, and between two loss points of the student
def test_every_image_that_left_is_told_while_a_run_stands(measure: Measure, stop: int, tmp_path: Path) -> None:
    """Paused at each step, stopped at one, gone on, and at its end."""
    with counting(8, 10) as server:
        spec = synthetic(server.url, measure=measure).model_copy(update={"watch": WATCH.model_copy(update=LATE)})
        told: list[Event] = []
        for event in train(spec, tmp_path, desk=(desk := Standing())):
            told.append(event)
            if isinstance(event, Asked) and not desk.wishes:
                agree(spec, event.meter, server.received())
                desk.wishes = [Command("step" if event.step < stop else "cancel")]
        stands = [event.step for event in told if isinstance(event, Asked)]
        assert sorted(set(stands)) == list(range(stop + 1))
        agree(spec, newest(told), server.received())
        more = list(train(spec, tmp_path))
        agree(spec, newest(more), server.received())
    assert newest(more).looked >= newest(told).looked


def test_a_resumed_run_denies_nothing_that_was_paid(tmp_path: Path) -> None:
    """It goes on from a checkpoint and uses again what it paid before it broke off: its meter is the bill all along."""
    troubles = (*("-",) * 38, "503", *("-",) * 2, "503")
    with counting(8, 10, *troubles) as server:
        spec = synthetic(server.url, measure="nothing").model_copy(update={"service": service(server.url, retries=0)})
        spec = spec.model_copy(update={"watch": WATCH.model_copy(update={"points": 12, "checkpoints": 2})})
        heard: list[Event] = []
        for _ in range(2):
            with pytest.raises(BadInput, match="without success"):
                heard.extend(train(spec, tmp_path))
        paid = record_of(spec, heard).meters[-1][1]
        begun = len(heard)
        for event in train(spec, tmp_path):
            heard.append(event)
            if isinstance(event, Asked | Finished) and event.meter:
                received, meter = server.received(), event.meter
                assert len(received.images) == meter.images + meter.retried
                assert received.requests == meter.requests
            told = record_of(spec, heard).meters[-1][1]
            if len(heard) > begun + 1:
                assert all(value >= (getattr(paid, name) or 0) for name, value in told if name != "cached")
    steps = [event for event in heard[begun:] if isinstance(event, Step)]
    assert any(step.meter and step.meter.images < paid.images for step in steps), "it has used less for a while"
    assert [type(event) for event in heard[begun : begun + 2]] == [Started, Asked]


def record_of(spec: Spec, heard: list[Event]) -> Record:
    """What those who look know of a run by then."""
    told = story(Heard(seq, 0.0, event) for seq, event in enumerate(heard))
    return gather(spec, [one.event for one in told], Path(), static={})


LATE = {"points": 4, "frames": 1, "checkpoints": 1}


def test_a_run_that_breaks_off_tells_first_what_left(tmp_path: Path) -> None:
    with counting(8, 10, *("-",) * 40, *("503",) * 40) as server:
        spec = synthetic(server.url, measure="real").model_copy(update={"service": service(server.url, retries=0)})
        told: list[Event] = []
        with pytest.raises(BadInput, match="without success"):
            told.extend(train(spec, tmp_path))
        received = server.received()
    assert isinstance(told[-1], Asked)
    meter = told[-1].meter
    assert len(received.images) == meter.images + meter.looked + meter.retried
    assert received.requests == meter.requests


def test_a_looked_at_image_teaches_without_being_sent(tmp_path: Path) -> None:
    """The answers of measuring and learning are one cache, whoever asked first."""
    import torch

    from kdcore.contracts.service import Answered
    from kdcore.engine.teacher import Teacher

    seen: list[int] = []

    def line(images: torch.Tensor) -> Answered:
        seen.append(len(images))
        return Answered(images.flatten(1)[:, :3].double().float())

    wall = Wall(measure="real", budget=8)
    asked = Teacher(line, "logits", wall=wall, folder=tmp_path, classes=3, remote=True)
    x = torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    looked = asked.look(x[:5])
    assert looked is not None
    assert np.array_equal(asked(x).logits[:5].numpy(), looked.logits.numpy())
    assert seen == [5, 3]
    meter = asked.meter
    assert (meter.images, meter.looked, meter.looked_real, meter.cached) == (3, 5, 5, 5)
    assert asked.look(torch.ones(1, 1, 2, 2)) is None, "the budget is spent"
    kept = Teacher(line, "logits", wall=wall, folder=tmp_path / "kept", classes=3, remote=True, wanted=4)
    assert kept.look(x[:5]) is None, "learning wants four"
    assert kept.look(x[:4]) is not None
    assert kept(x[4:7]).logits.shape == (3, 3)
    assert kept.look(x[7:]) is None
    kept.release()
    assert kept.look(x[7:]) is not None, "what learning left is there to be measured with"


def test_the_end_finds_what_it_asks_about(tmp_path: Path) -> None:
    """Measuring on the way leaves it so many, also after the end broke off; where they do not fit nothing is kept."""
    import torch

    from kdcore.contracts.service import Answered
    from kdcore.engine.teacher import Teacher

    def teacher(name: str, **told: Any) -> Teacher:
        def line(images: torch.Tensor) -> Answered:
            return Answered(images.flatten(1)[:, :3].float())

        wall = Wall(**({"measure": "real", "budget": 8} | told))
        return Teacher(line, "logits", wall=wall, folder=tmp_path / name, classes=3, remote=True, wanted=2, closing=4)

    x = torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    asked = teacher("whole")
    assert asked.look(x[:2]) is not None
    begun = asked.state()
    assert asked.look(x[2:3]) is None, "the rest is for learning and the end"
    asked.release()
    assert asked.look(x[2:6]) is not None
    again = teacher("whole")
    again.restore(begun | {"looked": torch.zeros(6, dtype=torch.bool)})
    assert again.look(x[:2]) is not None, "known from before the break, at an end that had sent its part"
    assert again.look(x[6:7]) is None
    assert teacher("limited", budget=0, looks=5).look(x[:2]) is None, "the limit of looks is kept as well"
    assert teacher("small", budget=5).look(x[:3]) is not None, "the end would not fit in any case"
    assert teacher("made", measure="synthetic").look(x[:6], real=False) is not None, "the end may not ask"
