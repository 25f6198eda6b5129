"""For every source that makes its images: stopping, resuming and watching change no bit, and a budget ends a run."""

from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_run import DIGITS, SCHEDULE, TEACHER, WATCH, Weights, kept, parts, run, same
from test_same_bits import Eager

from kdcore.contracts.access import GRANTS, Access
from kdcore.engine import control
from kdcore.events import Checkpoint, Event, Step
from kdcore.generation.source import Maker
from kdcore.spec.registry import SOURCES
from kdcore.spec.spec import Choice, Spec, Wall

MAKERS = [name for name in SOURCES if issubclass(SOURCES[name], Maker)]
TINY = {"latent": 6, "width": 8, "updates": 3, "made": 12, "pool": 20, "every": 4, "retain": 0.25, "compete": 1.0}
OWN: dict[str, dict[str, object]] = {"mekd": {"steps": 7, "real": 8}, "dfhl_rs": {"climbs": 2}}
CUT = 3  # checkpoints before the cut


def access_of(name: str) -> Access:
    """The narrowest grade that will do."""
    needs = SOURCES[name].needs  # type: ignore[attr-defined]
    return next(access for access in ("labels", "probabilities", "logits", "white_box") if needs <= GRANTS[access])


def spec(name: str, wall: Wall | None = None) -> Spec:
    """A small run with this source; behind a wall where there can be one."""
    access = access_of(name)
    knobs = {knob: value for knob, value in TINY.items() if knob in SOURCES[name].model_fields} | OWN.get(name, {})
    return Spec(
        data=DIGITS, schedule=SCHEDULE, watch=WATCH, teacher=TEACHER, access=access,
        source=Choice(name=name, knobs=knobs),
        student=Choice(name="cnn", knobs={"width": 4}), method=Choice(name="hard_label"),
        wall=(wall or Wall()) if access != "white_box" else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(weights: Weights, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The story and folder of a run with each source that nobody stops or watches."""

    @cache
    def of(name: str) -> tuple[list[Event], Path]:
        folder = tmp_path_factory.mktemp(name)
        return list(run(spec(name), folder, weights)), folder

    return of


def unmetered(story: list[Event]) -> list[Event]:
    """Whoever looks is answered from memory too, and that is counted."""
    return [event.model_copy(update={"meter": None}) if hasattr(event, "meter") else event for event in story]


@pytest.mark.parametrize("name", MAKERS)
def test_stopped_and_resumed_equals_uninterrupted(name: str, weights: Weights, uninterrupted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    story, folder = uninterrupted(name)
    begun: list[Event] = []
    for event in run(spec(name), tmp_path, weights):
        begun.append(event)
        if sum(isinstance(told, Checkpoint) for told in begun) == CUT:
            break
    rest = list(run(spec(name), tmp_path, weights))
    assert 0 < rest[0].step == begun[-1].step < story[-1].step
    assert begun + rest[1:] == story
    assert same(kept(folder), kept(tmp_path))
    assert same(load_file(folder / "source.safetensors"), load_file(tmp_path / "source.safetensors"))


@pytest.mark.parametrize("name", MAKERS)
def test_watching_every_step_changes_no_bit(  # type: ignore[no-untyped-def]
    name: str, weights: Weights, uninterrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LOOK_S", 0.0)
    monkeypatch.setattr(control, "FRAME_SHARE", 1e9)
    story, folder = uninterrupted(name)
    desk = Eager()
    assert unmetered(list(run(spec(name), tmp_path, weights, desk))) == unmetered(story)
    assert desk.frames == story[0].steps
    assert same(kept(folder), kept(tmp_path))


@pytest.mark.parametrize("name", ["dfme", "dafl", "ideal", "deepinversion"])
def test_a_point_tells_the_means_of_what_the_source_minimised_since_the_last(  # type: ignore[no-untyped-def]
    name: str, weights: Weights, uninterrupted, tmp_path: Path
) -> None:
    story, _ = uninterrupted(name)
    often = WATCH.model_copy(update={"points": story[0].steps})
    fine = [
        one for one in run(spec(name).model_copy(update={"watch": often}), tmp_path, weights) if isinstance(one, Step)
    ]
    assert len(fine) == story[0].steps
    assert not any(step.source for step in fine if step.lead)
    seen = 0
    for step in (one for one in story if isinstance(one, Step)):
        parts = [one.source for one in fine if seen < one.step <= step.step and one.source]
        means = {key: sum(part[key] for part in parts) / len(parts) for key in parts[0]} if parts else {}
        assert step.source == pytest.approx(means, rel=1e-5)
        seen = step.step
    assert any(step.source for step in fine)


@pytest.mark.parametrize("name", [name for name in MAKERS if access_of(name) != "white_box"])
def test_a_budget_ends_the_run_without_an_overrun(name: str, weights: Weights, uninterrupted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    story, _ = uninterrupted(name)
    whole = story[-1].meter.images
    budget = whole // 2
    end = list(run(spec(name, Wall(budget=budget)), tmp_path, weights))[-1]
    assert end.spent
    assert end.meter.images <= budget
    assert end.step < story[-1].step


@pytest.mark.parametrize("name", [name for name in MAKERS if access_of(name) == "white_box"])
def test_the_teacher_a_source_looks_into_stays_as_it_was(name: str, weights: Weights) -> None:
    setup = parts(spec(name), weights)
    before = {key: tensor.clone() for key, tensor in setup.teacher.state_dict().items()}
    for step in range(setup.lead):
        setup.source.learn(setup.making, setup.scene, step)
    for step in range(3):
        batch = setup.batch(next(setup.indices(0)), step)
        sum(term.weight * term.value for term in setup.method.terms(batch, setup.state).values()).backward()
    assert same(before, setup.teacher.state_dict())
    assert all(weight.grad is None for weight in setup.teacher.parameters())
    assert torch.equal(batch.labels, torch.full_like(batch.labels, -1))
