"""The microscope says of an image what the run's own networks and source say, and asks nobody unasked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_run import SCHEDULE, SMALL, TEACHER, WATCH, run

from kdcore.blackbox import loaded_run, manual_queries, microscope
from kdcore.contracts.service import Answered
from kdcore.engine.setup import Setup
from kdcore.errors import BadInput
from kdcore.spec.catalogue import catalogue, entry
from kdcore.spec.spec import Choice, Spec, Wall

Weights = Callable[[Spec], Path]
Look = Callable[..., dict[str, Any]]
SPEC = Spec(
    data=TEACHER.data,
    source=Choice(name="mekd", knobs=SMALL | {"map": "standard"}),
    student=Choice(name="cnn", knobs={"width": 4}),
    method=Choice(name="mekd"),
    teacher=TEACHER.model_copy(update={"data": Choice(name="digits", knobs=TEACHER.data.knobs)}),
    access="probabilities",
    wall=Wall(),
    schedule=SCHEDULE,
    watch=WATCH,
)


@pytest.fixture(scope="module")
def folder(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    place = tmp_path_factory.mktemp("looked")
    for _ in run(SPEC, place, weights):
        pass
    return place


@pytest.fixture
def look(folder: Path, weights: Weights) -> Look:
    """Asks the microscope about the finished run."""

    def ask(spec: Spec = SPEC, teacher: bool = True, place: Path = folder, **asked: Any) -> dict[str, Any]:
        known = str(weights(TEACHER)) if teacher else None
        request = {"folder": str(place), "spec": spec.model_dump_json(), "teacher": known, **asked}
        return microscope.answer(json.dumps(request))

    return ask


def test_it_says_what_the_runs_own_parts_say(look: Look, folder: Path, weights: Weights) -> None:
    sight = look(row=3)["sight"]
    setup = Setup(SPEC, Path(), weights(TEACHER), lambda *_: None, folder=folder)
    setup.student.load_state_dict(load_file(folder / "student.safetensors"))
    setup.making.load_state_dict(load_file(folder / "source.safetensors"))
    setup.modules.eval()
    assert setup.teacher
    x = setup.normalise(setup.probe.x[3:4])
    with torch.no_grad():
        ours, theirs = setup.student(x).logits, setup.teacher(x).logits
        centred = theirs.log_softmax(1) - theirs.log_softmax(1).mean(1, keepdim=True)
        goal = setup.source.invert(setup.making, centred)  # type: ignore[attr-defined]
    assert sight["student"] == pytest.approx(ours[0].softmax(0).tolist(), abs=1e-6)
    assert sight["teacher"] == pytest.approx(theirs[0].softmax(0).tolist(), abs=1e-5)
    pixels = ((goal[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert np.abs(np.array(sight["inverse_teacher"]) - pixels.numpy()).max() <= 1
    assert sight["image"] == setup.probe.x[3].tolist()
    assert sight["label"] == int(setup.probe.static["probe_labels"][3])
    assert set(sight["loss"]) == {"image", "kl"}


def test_its_losses_are_those_of_the_method_for_one_image(look: Look) -> None:
    sight = look(row=0)["sight"]
    theirs, ours = (np.array(sight[who]) for who in ("teacher", "student"))
    p, q = ((share ** (1 / 5)) / (share ** (1 / 5)).sum() for share in (theirs, ours))  # softened by T = 5
    assert sight["loss"]["kl"] == pytest.approx(0.5 * 5 * (p * np.log(p / q)).sum(), rel=1e-3)
    gap = np.abs(np.array(sight["inverse_teacher"], dtype=float) - np.array(sight["inverse_student"])) / 127.5
    assert sight["loss"]["image"] == pytest.approx(gap.mean(), abs=0.01)
    shown = np.array(sight["difference"], dtype=float) / 127.5
    assert np.abs(shown - gap).max() < 0.02


def test_the_nearest_image_is_the_nearest(look: Look) -> None:
    latent = [0.3 * k for k in range(10)]
    sight = look(latent=latent)["sight"]
    seen = microscope.BENCHES.value
    assert seen
    pixels = seen.latent(latent).numpy().reshape(1, -1) / 2 + 0.5
    for found in sight["nearest"]:
        images = seen.images[found["where"]].numpy().reshape(-1, 64) / 255
        distances = np.sqrt(np.square(images - pixels).mean(1))
        assert found["distance"] == pytest.approx(distances.min(), abs=1e-5)
        assert np.array(found["image"]).reshape(-1).tolist() == (images[distances.argmin()] * 255).round().tolist()
    assert {one["where"] for one in sight["nearest"]} == {"local", "held out"}
    assert {one["where"] for one in look(row=0)["sight"]["nearest"]} == {"local"}


def test_cycle_accuracy_stands_beside_every_inversion(look: Look) -> None:
    sight = look(row=0)["sight"]
    seen = microscope.BENCHES.value
    assert seen
    assert seen.teacher_net
    again = []
    for row in range(min(128, len(seen.probe))):
        first = seen.teachers(seen.row(row), row, ask=False)
        assert first is not None
        second = seen.teachers(seen.inverse(first), None, ask=False)
        assert second is not None
        again.append(int(first.argmax()) == int(second.argmax()))
    assert sight["cycle"] == pytest.approx(np.mean(again))


def test_without_the_teacher_only_what_was_recorded_is_told(look: Look) -> None:
    row, made = look(teacher=False, row=1)["sight"], look(teacher=False, latent=[0.0] * 10)["sight"]
    assert row["teacher"] is not None
    assert row["cycle"] is None
    assert made["teacher"] is None
    assert not made["may_ask"]
    assert "inverse_teacher" not in made
    assert "inverse_student" in made


def test_somebody_elses_teacher_is_asked_only_by_a_click_and_once(
    look: Look, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Far:
        remote = True

        def connect(self, shape: tuple[int, ...], classes: int, access: str) -> Callable[[torch.Tensor], Answered]:
            def line(images: torch.Tensor) -> Answered:
                assert images.shape[1:] == shape
                asked.append(len(images))
                return Answered(torch.zeros(len(images), classes))

            return line

    monkeypatch.setattr(manual_queries, "TEACHERS", {"far": Far})
    monkeypatch.setitem(catalogue()["teacher"], "far", entry("teacher", "http") | {"name": "far"})
    far = SPEC.model_copy(update={"teacher": None, "service": Choice(name="far")})
    place = tmp_path / "run"
    place.mkdir()
    for name in ("student.safetensors", "source.safetensors"):
        (place / name).write_bytes((folder / name).read_bytes())
    monkeypatch.setattr(microscope, "parse", lambda _: far)
    latent = [1.0] + [0.0] * 9
    sight = look(spec=far, teacher=False, place=place, latent=latent)["sight"]
    assert (sight["teacher"], sight["may_ask"], asked) == (None, True, [])
    for _ in range(2):
        sight = look(spec=far, teacher=False, place=place, latent=latent, ask=True)["sight"]
        assert sight["teacher"] == pytest.approx([0.1] * 10)
    assert (asked, sight["asked"]) == ([1], 1)
    assert look(spec=far, teacher=False, place=place, latent=latent)["sight"]["teacher"] is not None
    assert not (place / "asked.bin").exists()  # the run's own questions stand there


def test_a_run_under_way_is_seen_by_its_newest_checkpoint(look: Look, weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="kept no weights yet"):
        loaded_run.weights_of(tmp_path)
    for event in run(SPEC, tmp_path, weights):
        if event.kind == "checkpoint":
            break
    sight = look(place=tmp_path, row=0)["sight"]
    assert sight["step"] == event.step


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [({"row": 10_000}, "Probe images are numbered 0 to"), ({"latent": [1.0]}, "made of 10 numbers")],
)
def test_what_is_wrong_is_one_sentence(look: Look, asked: dict[str, Any], sentence: str) -> None:
    assert sentence in look(**asked)["error"]


def test_the_process_answers_line_by_line(folder: Path) -> None:
    request = json.dumps({"folder": str(folder), "spec": SPEC.model_dump_json(), "teacher": None, "row": 2})
    done = subprocess.run(
        [sys.executable, "-m", "kdcore.blackbox.microscope"],
        input=f"{request}\n{request}\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["sight"]["label"] for line in done.stdout.splitlines()]
    assert len(done.stdout.splitlines()) == 2
