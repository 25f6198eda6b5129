"""What is seen of a source that makes images: against slow references, without a trace, and never paid for twice."""

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import DIGITS, SCHEDULE, SMALL, TEACHER, WATCH, Weights, kept, same

from kdcore.contracts.access import Access
from kdcore.contracts.control import Audience, Desk
from kdcore.contracts.outputs import Outputs
from kdcore.contracts.service import Answered, Line
from kdcore.engine import control
from kdcore.engine import setup as parts_of_setup
from kdcore.engine.frames import measured, parted
from kdcore.engine.generator_metrics import (
    COARSE,
    CYCLED,
    FINE,
    INVERTED,
    JUDGED,
    LATENTS,
    LOCAL,
    PICTURES,
    GeneratorMetrics,
    anchors,
    coverage,
    extent,
    flat,
    grid,
    shares,
)
from kdcore.engine.setup import Setup
from kdcore.engine.train import train
from kdcore.events import Finished, Frame
from kdcore.runs.record import read_arrays
from kdcore.spec.spec import Choice, Spec, Wall


def spec(access: str = "probabilities", **knobs: object) -> Spec:
    return Spec.model_validate(
        {
            "data": DIGITS, "source": {"name": "mekd", "knobs": SMALL | knobs}, "method": {"name": "mekd"},
            "student": Choice(name="cnn", knobs={"width": 4}), "teacher": TEACHER, "access": access, "wall": {},
            "schedule": SCHEDULE, "watch": WATCH,
        }
    )  # fmt: skip


def setup(weights: Weights, folder: Path, access: str = "probabilities", **knobs: object) -> Setup:
    return Setup(spec(access, **knobs), Path(), weights(TEACHER), lambda *_: None, folder=folder)


def named() -> tuple[torch.Tensor, torch.Tensor]:
    found = anchors(torch.randn(200, 10, generator=torch.Generator().manual_seed(0)) * 3)
    assert found is not None
    return found


def seen(weights: Weights, folder: Path) -> GeneratorMetrics:
    """The eyes of a run whose teacher is said to name several classes."""
    made = setup(weights, folder).made
    assert made is not None
    made.anchors = named()
    return made


def blank(made: GeneratorMetrics) -> torch.Tensor:
    """A student's answers that say nothing."""
    return torch.zeros(len(made.probe.x), 10)


def test_coverage_is_what_a_loop_counts() -> None:
    random = np.random.default_rng(0)
    told, latents = random.normal(size=(50, 4)) * 3, random.normal(size=(50, 4))
    found = coverage(torch.from_numpy(told), torch.from_numpy(latents), "probabilities")
    counts, right, sure = [0] * 4, 0, 0.0
    for row, latent in zip(told, latents, strict=True):
        counts[row.argmax()] += 1
        right += int(row.argmax() == latent.argmax())
        sure += np.exp(row.max()) / np.exp(row).sum()
    assert float(found["note_class_entropy"]) == pytest.approx(-sum(n / 50 * log(n / 50) for n in counts if n))
    assert float(found["note_argmax_inverse"]) == pytest.approx(right / 50)
    assert found["note_argmax_inverse_rows"] == 50
    assert float(found["note_confidence"]) == pytest.approx(sure / 50)


def test_one_class_covers_nothing_and_all_alike_cover_everything() -> None:
    assert float(coverage(torch.eye(5)[[2] * 8], None, "labels")["note_class_entropy"]) == 0
    assert float(coverage(torch.eye(5), None, "labels")["note_class_entropy"]) == pytest.approx(log(5))
    assert set(coverage(torch.eye(5), None, "labels")) == {"note_class_entropy"}


def test_answers_are_compared_as_the_interface_tells_them() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    assert shares(logits, "labels").tolist() == [[0, 1]]
    assert shares(logits, "probabilities").tolist() == [
        [pytest.approx(0.1192, abs=1e-4), pytest.approx(0.8808, abs=1e-4)]
    ]


def test_a_frame_holds_pictures_inversions_and_cells(weights: Weights, tmp_path: Path) -> None:
    run = setup(weights, tmp_path)
    assert run.made is not None
    run.made.anchors = named()
    arrays, notes = parted(measured(run, run.lead + 1))
    assert arrays["made_x"].shape == (PICTURES, 1, 8, 8)
    assert arrays["made_logits"].shape == (PICTURES, 10)
    assert arrays["inverse_teacher"].shape == arrays["inverse_student"].shape == (INVERTED, 1, 8, 8)
    assert arrays["cells_teacher"].shape == arrays["cells_student"].shape == (FINE, FINE)
    assert measured(run, run.lead)["cells_teacher"].shape == (COARSE, COARSE)
    assert {"cycle", "argmax_inverse", "class_entropy", "confidence", "frechet", "sliced_wasserstein"} <= set(notes)
    assert {"nearer_local", "copies_p", "image_pull", "kl_pull", "pull_cosine"} <= set(notes)
    assert notes["copies_judged"] == len(arrays["made_copied"]) == JUDGED
    assert run.probe.static["local_x"].shape == (LOCAL, 1, 8, 8)


def test_a_generator_that_copies_is_caught_by_its_frames(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = setup(weights, tmp_path)
    rows = torch.arange(JUDGED) % len(run.x)
    monkeypatch.setattr(type(run.source), "sample", lambda _, __, latents: run.x[rows[: len(latents)]] / 127.5 - 1)
    arrays, notes = parted(measured(run, run.lead + 1))
    assert notes["copies_matched"] == notes["copies_judged"] == JUDGED
    assert arrays["made_copied"][:PICTURES].all()


def test_inversions_and_cycle_follow_their_definition(weights: Weights, tmp_path: Path) -> None:
    run = setup(weights, tmp_path)
    arrays = measured(run, 0)
    assert run.teacher is not None
    asked = run.teacher(run.normalise(run.probe.x[:CYCLED])).logits.log_softmax(1)
    asked = asked - asked.mean(1, keepdim=True)
    run.making.eval()
    with torch.no_grad():
        images = run.making.generator(asked / 5)
        again = run.teacher(run.inputs(images)).logits.argmax(1)
        ours = run.making.generator(torch.from_numpy(arrays["student_logits"][:INVERTED]) / 5)
    seen = ((images[:INVERTED] + 1) * 127.5).round().numpy()
    assert np.abs(arrays["inverse_teacher"] - seen).max() <= 1
    assert np.abs(arrays["inverse_student"] - ((ours + 1) * 127.5).round().numpy()).max() <= 1
    assert arrays["note_cycle_rows"] == len(again)
    assert arrays["note_cycle"] == pytest.approx(float((again == asked.argmax(1)).double().mean()))


def test_corners_of_the_plane_carry_their_class_where_latents_are_answers() -> None:
    classes, corners = named()
    assert corners.norm(dim=1).numpy() == pytest.approx(np.full(3, 10**0.5), abs=1e-4)
    x0, x1, y0, y1 = extent(flat(corners)).tolist()
    cells = grid(corners, FINE).argmax(1).reshape(FINE, FINE)
    for name, (x, y) in zip(classes.tolist(), flat(corners).tolist(), strict=True):
        assert cells[int((y - y0) / (y1 - y0) * FINE), int((x - x0) / (x1 - x0) * FINE)] == name
    sides = [torch.cdist(points, points) for points in (flat(corners), corners)]
    assert sides[0].numpy() == pytest.approx(sides[1].numpy(), abs=1e-4)


def test_corners_are_the_means_of_answers_of_a_class() -> None:
    told = torch.tensor([[4.0, 0, 2], [8, 2, 2], [0, 3, 0], [0, 0, 5]])
    found = anchors(told)
    assert found is not None
    mean = (np.array([2.0, -2, 0]) + np.array([4.0, -2, -2])) / 2
    assert found[1][0].numpy() == pytest.approx(mean / np.linalg.norm(mean) * 3**0.5, abs=1e-6)
    assert anchors(told[:3]) is None


def test_looking_leaves_no_trace(weights: Weights, tmp_path: Path) -> None:
    run = setup(weights, tmp_path)
    run.making.train()
    before = {name: value.clone() for name, value in run.modules.state_dict().items()}
    chance, spent = torch.random.get_rng_state(), run.answers and run.answers.meter
    made = run.made
    assert made is not None
    made.arrays(3, blank(made), recorded=False)
    assert run.making.training
    assert all(module.training for module in run.making.modules())
    assert torch.equal(torch.random.get_rng_state(), chance)
    assert all(torch.equal(value, before[name]) for name, value in run.modules.state_dict().items())
    assert run.answers
    assert run.answers.meter == spent


def counting(made: GeneratorMetrics) -> list[int]:
    """How many images each look is about, from now on."""
    counts: list[int] = []
    look = made.look
    assert look is not None

    def counted(x: torch.Tensor, real: bool) -> Outputs | None:
        assert not real, "what a generator makes is synthetic"
        counts.append(len(x))
        return look(x, real)

    made.look = counted
    return counts


def test_a_generator_at_rest_is_not_measured_twice(weights: Weights, tmp_path: Path) -> None:
    made = seen(weights, tmp_path)
    asked = counting(made)
    first = made.arrays(9, blank(made), recorded=True)
    count = len(asked)
    second = made.arrays(10, blank(made), recorded=True)
    assert asked[count:] == [INVERTED]  # the student's inversions are new each time
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("step", "asked"), [(3, PICTURES), (8, LATENTS + CYCLED + COARSE**2)])
def test_where_looks_are_paid_they_are_few_and_never_for_those_who_watch(
    weights: Weights, tmp_path: Path, step: int, asked: int
) -> None:
    made = seen(weights, tmp_path)
    made.paid, counts = True, counting(made)
    assert made.arrays(step, blank(made), recorded=False) == {}
    assert counts == []
    found = made.arrays(step, blank(made), recorded=True)
    assert sum(counts) == asked
    assert made.arrays(step + 1, blank(made), recorded=False).keys() < found.keys()
    assert sum(counts) == asked


def test_looks_that_are_used_up_leave_gaps(weights: Weights, tmp_path: Path) -> None:
    made = seen(weights, tmp_path)
    made.look = lambda *_: None
    found = made.arrays(9, blank(made), recorded=True)
    assert "made_x" in found
    assert not {"made_logits", "note_cycle", "cells_teacher", "cells_student"} & found.keys()


def test_frames_tell_their_numbers_and_keep_their_arrays(weights: Weights, tmp_path: Path) -> None:
    story = list(train(spec("labels"), tmp_path, teacher_weights=weights(TEACHER)))
    frames = [event for event in story if isinstance(event, Frame)]
    assert all(0 <= frame.notes["cycle"] <= 1 for frame in frames)
    assert all("confidence" not in frame.notes for frame in frames)  # labels tell of none
    with np.load(tmp_path / frames[-1].file) as arrays:
        assert "made_x" in arrays
        assert not [name for name in arrays if name.startswith("note_")]


def test_a_source_without_latents_shows_what_it_showed_last(weights: Weights, tmp_path: Path) -> None:
    run = setup(weights, tmp_path)
    made = run.made
    assert isinstance(made, GeneratorMetrics)
    made.samples = False
    assert "made_x" not in made.arrays(0, blank(made), recorded=True)
    run.batch(run.y[:0], 0)
    found = made.arrays(1, blank(made), recorded=True)
    assert made.shown is not None
    assert len(found["made_x"]) == min(PICTURES, SCHEDULE.batch)
    assert "note_argmax_inverse" not in found


class Far:
    """A remote teacher that is asked in this process."""

    def __init__(self, **_: object) -> None:
        pass

    def connect(self, shape: tuple[int, ...], classes: int, access: Access) -> Line:
        weight = torch.randn(int(np.prod(shape)), classes, generator=torch.Generator().manual_seed(1))
        return lambda images: Answered(images.flatten(1) @ weight)


class Eager(Desk):
    """A desk that looks as often as it is let."""

    def audience(self) -> Audience:
        return Audience(frames_hz=1e9)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Spec:
    """A run of a remote teacher that may be measured."""
    monkeypatch.setattr(parts_of_setup, "TEACHERS", {"http": Far})
    service = Choice(name="http", knobs={"model": "far"})
    raw = spec().model_dump(mode="json") | {"teacher": None, "service": service, "wall": Wall(measure="real")}
    return Spec.model_validate(raw)


@pytest.mark.parametrize("allowed", [{"looks": 0, "measure": "real"}, {"measure": "nothing"}, {"measure": "synthetic"}])
def test_a_teacher_that_may_not_be_measured_teaches_the_same(
    served: Spec, tmp_path: Path, allowed: dict[str, object]
) -> None:
    for name, wall in (("seen", Wall(measure="real")), ("unseen", Wall(**allowed))):  # type: ignore[arg-type]
        story = list(train(served.model_copy(update={"wall": wall}), tmp_path / name))
        assert isinstance(story[-1], Finished)
        meter = story[-1].meter
        assert meter
        assert (meter.looked > 0) == (name == "seen" or wall.measure == "synthetic")
        assert bool(meter.looked_real) == (name == "seen")
        assert ("agreement" in story[-1].result) == (name == "seen")
        assert "student_accuracy" in story[-1].result
    assert same(kept(tmp_path / "seen"), kept(tmp_path / "unseen"))


def test_synthetic_images_may_be_measured_without_real_ones(served: Spec, tmp_path: Path) -> None:
    told = list(train(served.model_copy(update={"wall": Wall(measure="synthetic")}), tmp_path))
    notes = [event.notes for event in told if isinstance(event, Frame)]
    assert all("class_entropy" in one for one in notes)
    assert not any("cycle" in one for one in notes)


def test_who_watches_costs_no_look_at_a_service(served: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LOOK_S", 0.0)
    monkeypatch.setattr(control, "FRAME_SHARE", 1e9)
    alone = list(train(served, tmp_path / "alone"))
    assert list(train(served, tmp_path / "watched", desk=Eager())) == alone
    last = alone[-1]
    assert isinstance(last, Finished)
    assert last.meter
    rows = len(read_arrays(tmp_path / "alone" / "static.npz")["probe_labels"])
    assert served.wall
    assert rows < last.meter.looked <= served.wall.looks
    frames = [event for event in alone if isinstance(event, Frame)]
    assert "cycle" not in frames[0].notes
    assert "cycle" in frames[-1].notes
    assert all("class_entropy" in frame.notes for frame in frames)
