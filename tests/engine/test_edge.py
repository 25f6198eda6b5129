"""What the edge shows its teacher: runs on local images, on mixtures of them, and what the meter says of each."""

from pathlib import Path

from small_run import DIGITS, SCHEDULE, STEPS, TEACHER, WATCH, Weights, kept, run, same

from kdcore.events import Event, Finished, Started
from kdcore.spec import Choice, Spec, Wall


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
