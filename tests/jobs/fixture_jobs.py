"""Jobs with character, and the small catalogue they live in. No torch, so their processes start at once.

`train` does what the name of the spec's method says. Where it counts steps it is deterministic, writes checkpoints and
goes on from them, as the engine does: what it tells is a function of spec and step.
"""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from kdcore.contracts.control import Command, Desk
from kdcore.errors import BadInput
from kdcore.events import Changed, Checkpoint, Cost, Event, Finished, Frame, Loss, Started, Step
from kdcore.runs.record import write_arrays
from kdcore.spec import catalogue, checks, spec
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, change


def _entry(needs: tuple[str, ...] = (), lineage: str = "teacher", **knobs: dict[str, object]) -> dict[str, object]:
    schema = {"type": "object", "properties": knobs}
    return {
        "needs": list(needs),
        "asks": [],
        "family": "",
        "joins": "any",
        "rate": 1.0,
        "lineage": lineage,
        "fixed": [],
        "schema": schema,
    }


PACE = {"type": "number", "default": 0.0, "minimum": 0, "description": "Seconds in a step."}
CHARACTERS = ("ce", "crashes", "dies", "fails", "hangs", "memory", "full", "watched", "stubborn")
CATALOGUE = {
    "method": {name: _entry(pace=PACE) for name in CHARACTERS}
    | {"kd": _entry(("logits",), pace=PACE), "several": _entry(("logits",), "copies", pace=PACE)},
    "model": {"mlp": _entry(width={"type": "integer", "default": 8, "minimum": 1}) | {"costs": []}},
    "data": {
        "moons": _entry(
            seed={"type": "integer", "default": 0},
            validation={"type": "number", "default": 0.1},
            label_fraction={"type": "number", "default": 1.0},
        )
    },
    "source": {"data": _entry() | {"makes": False, "inverts": False, "leading": []}},
    "teacher": {},
}


def install() -> None:
    """Make this process know the small catalogue alone."""
    catalogue.catalogue = checks.catalogue = spec.catalogue = lambda: CATALOGUE  # type: ignore[assignment]
    catalogue.knobs_model.cache_clear()


if os.environ.get("KDLAB_TRAIN", "").startswith("fixture_jobs"):
    install()


def job(
    method: str = "ce",
    *,
    steps: int = 20,
    pace: float = 0.0,
    seed: int = 0,
    teacher: Spec | None = None,
    mentors: tuple[Spec, ...] = (),
    start: Spec | None = None,
) -> Spec:
    """A spec of a job."""
    return Spec(
        data=Choice(name="moons"),
        student=Choice(name="mlp"),
        method=Choice(name=method, knobs={"pace": pace}),
        schedule=Schedule(steps=steps),
        seed=seed,
        teacher=teacher,
        mentors=mentors,
        start=start,
    )


def train(
    spec: Spec,
    folder: Path,
    *,
    teacher_weights: Path | None = None,
    teacher_run: str | None = None,
    mentor_weights: Sequence[Path] = (),
    mentor_runs: Sequence[str] = (),
    start_weights: Path | None = None,
    start_run: str | None = None,
    desk: Desk | None = None,
    **_unused: object,
) -> Iterator[Event]:
    """Do the job that the spec's method names."""
    desk = desk or Desk()
    if spec.teacher:
        assert teacher_weights
        assert teacher_weights.exists()
    assert all(weights.exists() for weights in mentor_weights)
    assert bool(spec.start) == bool(start_weights and start_weights.exists() and start_run)
    assert len(mentor_weights) == len(mentor_runs) == len(spec.mentors)
    done, state = _restore(folder, spec)
    yield started(spec, done, teacher_run, mentor_runs, start_run)
    obeys = spec.method.name not in ("hangs", "stubborn")
    paused, allowed = False, 0
    while done < spec.schedule.steps:
        for command in desk.commands() if obeys else []:
            if command.name == "cancel":
                return
            paused, allowed = _pause(command, paused, allowed)
            if command.name == "set":
                spec, changed = _set(spec, command, done)
                yield changed
        if paused and not allowed:
            time.sleep(0.005)
            continue
        allowed = max(0, allowed - 1)
        time.sleep(float(spec.method.knobs["pace"]))
        done, state = done + 1, (state * 1103515245 + 12345) % 2**31
        _act(spec.method.name, done)
        if spec.method.name == "watched":
            desk.show("frame", {"step": np.array(done)})
        yield from _told(spec, folder, done, state)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"state": np.array(state)}, folder / "student.safetensors")
    yield Finished(step=done, result={"student_accuracy": state / 2**31})


def _act(method: str, done: int) -> None:
    """What goes wrong in the third step."""
    if done != 3:
        return
    if method == "crashes":
        raise RuntimeError("the third step is odd")
    if method == "fails":
        raise BadInput("The third step may not be taken; take two.")
    if method == "memory":
        raise MemoryError
    if method == "full":
        raise OSError(28, "No space left on device")
    if method == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if method == "hangs":
        time.sleep(600)


def started(
    spec: Spec,
    done: int,
    teacher_run: str | None = None,
    mentor_runs: Sequence[str] = (),
    start_run: str | None = None,
) -> Started:
    """What a run says first."""
    cost = Cost(parameters=1, multiply_adds=1, size_bytes=4)
    return Started(
        step=done, steps=spec.schedule.steps, device="cpu", torch="none", classes=("a", "b"),
        rows={"train": 1, "val": 1, "test": 1},
        student=cost, teacher=cost if spec.teacher else None, teacher_run=teacher_run,
        mentor_runs=tuple(mentor_runs), start_run=start_run,
    )  # fmt: skip


def point(step: int) -> Step:
    """A `Step` of no account."""
    return Step(step=step, learning_rate=0.1, loss=1.0, terms={}, train_accuracy=0.5)


def _pause(command: Command, paused: bool, allowed: int) -> tuple[bool, int]:
    if command.name == "pause":
        return True, 0
    if command.name == "step":
        return True, allowed + int(command.value)
    return paused and command.name != "resume", allowed


def _set(spec: Spec, command: Command, done: int) -> tuple[Spec, Changed]:
    ((path, value),) = command.value.items()
    return change(spec, path, value), Changed(step=done, path=path, old=spec.schedule.lr, new=value)


def _told(spec: Spec, folder: Path, done: int, state: int) -> Iterator[Event]:
    loss = state / 2**31
    terms = {"labels": Loss(weight=1.0, value=loss)}
    yield Step(step=done, learning_rate=spec.schedule.lr, loss=loss, terms=terms, train_accuracy=1 - loss)
    if done % 5 == 0:
        write_arrays(folder / "frames" / f"{done:08d}.npz", {"step": np.array(done)})
        yield Frame(step=done, file=f"frames/{done:08d}.npz")
        path = folder / "checkpoints" / f"{done:08d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps([done, state, spec.model_dump(mode="json")]))
        draft.replace(path)
        yield Checkpoint(step=done, file=f"checkpoints/{path.name}")


def _restore(folder: Path, spec: Spec) -> tuple[int, int]:
    saved = sorted((folder / "checkpoints").glob("*.json"))
    if not saved:
        return 0, spec.seed
    done, state, _ = json.loads(saved[-1].read_text())
    return done, state
