"""What the edge shows its teacher: runs on local images, on mixtures of them, and what the meter says of each."""

from pathlib import Path

import pytest
from small_run import DIGITS, SCHEDULE, STEPS, TEACHER, WATCH, Weights, kept, run, same

from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Event, Finished, Started
from kdcore.spec.spec import Choice, Spec, Wall, parse


def spec(source: str = "knockoff", method: str = "kd", **wall: object) -> Spec:
    return Spec(
        data=DIGITS, student=Choice(name="cnn", knobs={"width": 4}), method=Choice(name=method),
        source=Choice(name=source), teacher=TEACHER, access="probabilities", wall=Wall(**wall),
        schedule=SCHEDULE, watch=WATCH,
    )  # type: ignore[arg-type]  # fmt: skip


def ended(story: list[Event]) -> tuple[int, Finished]:
    first, last = story[0], story[-1]
    assert isinstance(first, Started)
    assert isinstance(last, Finished)
    assert last.meter
    return first.rows["train"], last


def test_each_image_of_the_set_is_asked_about_once_and_no_other(weights: Weights, tmp_path: Path) -> None:
    rows, end = ended(list(run(spec(), tmp_path, weights)))
    assert end.meter.images == end.meter.local == round(0.2 * rows)  # type: ignore[union-attr]
    assert not end.spent
    assert end.step == STEPS


def test_a_budget_of_the_set_is_enough(weights: Weights, tmp_path: Path) -> None:
    rows, free = ended(list(run(spec(), tmp_path / "free", weights)))
    _, bound = ended(list(run(spec(budget=round(0.2 * rows)), tmp_path / "bound", weights)))
    assert bound.step == free.step
    assert same(kept(tmp_path / "free"), kept(tmp_path / "bound"))


def test_looking_asks_for_nothing(weights: Weights, tmp_path: Path) -> None:
    """A second view and a say in the mixture are asked about too; frames are not."""
    plain = spec(source="data", method="cutmixpick")
    few = plain.model_copy(update={"watch": plain.watch.model_copy(update={"frames": 1})})
    found = [ended(list(run(one, tmp_path / name, weights)))[1].meter for one, name in ((plain, "many"), (few, "few"))]
    assert found[0] == found[1]
    assert found[0].local == found[0].images > 0  # type: ignore[union-attr]


def decided(**wall: object) -> Spec:
    """Labels only; the boundaries of a few images are searched before the first step."""
    knobs = {"rows": 6, "images": 1, "search": 3}
    raw = spec(source="data", method="db3kd", **wall).model_dump(mode="json")
    return parse(raw | {"access": "labels", "method": {"name": "db3kd", "knobs": knobs}})


def test_boundaries_are_searched_before_the_first_step_and_never_again(weights: Weights, tmp_path: Path) -> None:
    list(run(TEACHER, tmp_path / "teacher", weights))  # one that knows several classes

    def learned(_: Spec) -> Path:
        return tmp_path / "teacher" / "student.safetensors"

    story = []
    for event in run(decided(), tmp_path / "cut", learned):
        story.append(event)
        if isinstance(event, Checkpoint):
            break
    _, end = ended(story + list(run(decided(), tmp_path / "cut", learned)))
    rows, whole = ended(list(run(decided(), tmp_path / "whole", learned)))
    assert whole.meter
    assert rows < whole.meter.images <= rows + 6 * 9 * 3
    assert whole.meter.local == whole.meter.images
    assert end.meter
    assert end.meter.images == whole.meter.images
    assert same(kept(tmp_path / "cut"), kept(tmp_path / "whole"))


def test_a_budget_too_small_for_the_search_is_refused_before_the_run(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="DB3KD asks about the"):
        list(run(decided(budget=100), tmp_path, weights))


def mixed(rounds: int, **wall: object) -> Spec:
    knobs = {"start": 60, "rounds": rounds, "every": 4, "add": 20, "pairs": 30}
    raw = spec(source="data", **wall).model_dump(mode="json")
    return parse(raw | {"source": {"name": "activemix", "knobs": knobs}})


def test_mixtures_are_asked_about_once_and_show_local_images(weights: Weights, tmp_path: Path) -> None:
    _, end = ended(list(run(mixed(2), tmp_path, weights)))
    assert end.meter
    assert end.meter.images <= 60 + 2 * 20
    assert end.meter.local == end.meter.images
    assert end.meter.images + end.meter.cached == STEPS * SCHEDULE.batch


def test_a_growing_pool_goes_on_where_it_stopped(weights: Weights, tmp_path: Path) -> None:
    for event in run(mixed(2), tmp_path / "cut", weights):
        if isinstance(event, Checkpoint) and event.step > 5:  # the first mixtures are in the pool
            break
    rest = list(run(mixed(2), tmp_path / "cut", weights))
    whole = list(run(mixed(2), tmp_path / "whole", weights))
    assert rest[0].step > 5
    assert same(kept(tmp_path / "cut"), kept(tmp_path / "whole"))
    found = [ended(story)[1] if story is whole else story[-1] for story in (whole, rest)]
    assert all(isinstance(one, Finished) and one.meter for one in found)
    assert found[0].meter.images == found[1].meter.images  # type: ignore[union-attr]
