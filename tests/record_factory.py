"""Records made of thin air: what a run would have left, without running one."""

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kdcore.events import Changed, Cost, Evaluated, Frame, Loss, Meter, Score, Started, Step
from kdcore.runs.record import Record
from kdcore.spec.spec import Choice, Spec

MAPPED = 3  # probe rows with maps of attention


@dataclass(frozen=True)
class Run:
    """What kind of run it was."""

    classes: int = 4
    rows: int = 64
    seed: int = 0
    teacher: bool = True
    plane: int | None = None  # R of a 2-D run; None for images
    channels: int = 1
    steps: int = 12
    value: float = 1.0  # of every loss
    huge: float = 1.0  # factor on the logits
    method: str = "kd"
    telling: bool = False  # whether the method shows what is its own
    making: bool = False  # whether the source makes its images and the teacher stands behind a wall
    access: str = "probabilities"  # where it does
    playing: bool = False  # whether its source learns beside the student, at every third step


def record(run: Run = Run()) -> Record:
    """A run that has got somewhere."""
    random = np.random.default_rng(run.seed)
    teacher = random.normal(size=(run.rows, run.classes)) * 3 * run.huge
    student = teacher * 0.7 + random.normal(size=(run.rows, run.classes)) * run.huge
    labels = random.integers(run.classes, size=run.rows)
    teacher[np.arange(run.rows), labels] += 2 * run.huge
    static: dict[str, np.ndarray] = {"probe_labels": labels, "probe_index": np.arange(run.rows)}
    frame = {"step": np.array(run.steps), "student_logits": student.astype(np.float32)}
    if run.teacher:
        static["teacher_logits"] = teacher.astype(np.float32)
    if run.plane:
        _lay_plane(run, random, static, frame)
    else:
        static["probe_x"] = random.integers(256, size=(run.rows, run.channels, 8, 8)).astype(np.uint8)
        if run.teacher:
            mapped = min(MAPPED, run.rows)
            static["teacher_maps"], frame["student_maps"] = random.random((mapped, 4, 4)), random.random((mapped, 2, 2))
    if run.teacher:
        frame["cka"] = random.random((3, 2)).astype(np.float32)
    if run.telling:
        frame |= _own(run, random, static["teacher_logits"] if run.teacher else student)
    if run.making:
        _make(run, random, static, frame)
    return Record(
        spec=walled(run.access) if run.making else spec(run.method if run.teacher else "ce", run.teacher),
        started=started(run),
        steps=tuple(_step(run, 1 + step) for step in range(run.steps)),
        evaluations=(*(_scored(run, step, "val") for step in range(4, run.steps, 4)), _scored(run, run.steps, "test")),
        changes=(Changed(step=5, path="schedule.lr", old=0.1, new=0.05),),
        frames=tuple(_framed(step) for step in range(0, run.steps + 1, 4)) if run.making else (),
        static=static,
        frame=frame | _gradients(run),
    )


def started(run: Run) -> Started:
    cost = Cost(parameters=1, multiply_adds=1, size_bytes=4)
    names = tuple(f"class {k}" for k in range(run.classes))
    rows = {"train": 600, "val": run.rows, "test": 100}
    facts: dict[str, Any] = {"steps": run.steps, "device": "cpu", "torch": "2", "classes": names, "rows": rows}
    facts["lead"] = run.steps // 2 if run.making else 0
    return Started(step=0, student=cost, teacher=cost if run.teacher else None, **facts)


def fresh() -> Record:
    """A run that was started a moment ago: no point, no frame, no arrays."""
    return Record(spec=spec("kd", True), started=started(Run()))


@cache
def spec(method: str, teacher: bool) -> Spec:
    student = Choice(name="mlp")
    taught = {"teacher": Spec(student=student, method=Choice(name="ce"))} if teacher else {}
    return Spec(student=student, method=Choice(name=method), **taught)


@cache
def walled(access: str) -> Spec:
    facts = {"source": {"name": "mekd"}, "method": {"name": "mekd"}, "access": access, "wall": {"budget": 5000}}
    plain = spec("kd", True).model_dump(mode="json", exclude={"source", "method", "access", "wall"})
    return Spec.model_validate(plain | {"data": {"name": "digits"}} | facts)


def _make(run: Run, random: np.random.Generator, static: dict[str, Any], frame: dict[str, Any]) -> None:
    """What is seen of a source that makes its images."""

    def images(count: int) -> np.ndarray:
        return random.integers(256, size=(count, run.channels, 8, 8)).astype(np.uint8)

    shown = min(12, run.rows)
    static |= {"local_x": images(12), "cells_classes": np.arange(3) % run.classes}
    static |= {"cells_corners": np.array([[-1, -1], [1, -1], [0, 1.0]]), "cells_extent": np.array([-2, 2, -2, 2.0])}
    frame |= {"made_x": images(36), "made_logits": random.normal(size=(36, run.classes)) * run.huge}
    frame |= {"made_to_local": random.random(50), "made_to_held": random.random(50), "nearest_real": np.array([20, 30])}
    frame |= {f"inverse_{who}": images(shown) for who in ("teacher", "student")}
    frame |= {f"inverse_{who}_logits": random.normal(size=(shown, run.classes)) for who in ("teacher", "student")}
    frame |= {f"cells_{who}": random.integers(run.classes, size=(12, 12)) for who in ("teacher", "student")}
    frame |= {"own_pull_cosine": random.uniform(-1, 1, 64)}


COPIES = {
    "copies_judged": 50.0, "copies_held": 300.0, "copies_matched": 0.0, "copies_closer": 1.0, "copies_closer_p": 0.3,
    "copies_p": 0.4, "nearer_local": 0.4, "copies_finds": 0.05, "copies_finds_exact": 0.03,
}  # fmt: skip


def _framed(step: int) -> Frame:
    names = ("cycle", "argmax_inverse", "confidence", "class_entropy", "frechet", "sliced_wasserstein")
    pulls = {"image_pull": 0.2, "kl_pull": 0.4, "pull_cosine": -0.5}
    told = dict.fromkeys(names, (step + 1) / 100) | pulls | COPIES
    return Frame(step=step, file=f"frames/{step:08d}.npz", notes=told)


def _own(run: Run, random: np.random.Generator, logits: np.ndarray) -> dict[str, np.ndarray]:
    """What a method shows of itself: targets that are right, temperatures, two paths."""
    target = np.full(logits.shape, 0.1 / logits.shape[1])
    target[np.arange(run.rows), logits.argmax(1)] += 0.9
    temperature = 1 + random.random(run.rows)
    return {"own_target": target, "own_temperature": temperature, "own_paths": logits + random.normal(size=(2, 1, 1))}


def _step(run: Run, step: int) -> Step:
    lead = run.making and step <= run.steps // 2
    terms = {"labels": Loss(weight=0.1, value=run.value / step)}
    if run.teacher:
        terms["kd"] = Loss(weight=0.9, value=run.value * 16)
    if lead:
        terms = {"generator": Loss(weight=1, value=run.value)}
    total = sum(term.weight * term.value for term in terms.values())
    notes = {"share": step / (run.steps + 1), "peer_loss": 3.0 / step} if run.telling else {}
    right = None if run.making else 0.5
    spent = {"images": 100 * step, "local": 10 * step, "bytes_up": 6400 * step, "bytes_down": 4000 * step}
    meter = Meter(**spent, looked=512, requests=step) if run.making else None
    source = {"generator": -3.0 / step, "generator_balance": -1.0} if run.playing and step % 3 == 0 else {}
    told: dict[str, Any] = {"notes": notes, "source": source, "lead": lead, "meter": meter}
    return Step(step=step, learning_rate=0.1, loss=total, terms=terms, train_accuracy=right, **told)


def _scored(run: Run, step: int, split: Any) -> Evaluated:
    teacher = Score(accuracy=0.95, nll=0.2, ece=0.02) if run.teacher else None
    distance = {"agreement": 0.9, "kl": 0.3, "kl_target": 0.1} if run.teacher else {}
    return Evaluated(
        step=step, split=split, student=Score(accuracy=0.9, nll=0.3, ece=0.05), teacher=teacher, **distance
    )


def _gradients(run: Run) -> dict[str, np.ndarray]:
    if not run.teacher:
        one = np.ones(1)
        return {"gradient_names": np.array(["labels"]), "gradient_norms": one, "gradient_cosines": one[None]}
    cosines = np.array([[1.0, -0.25], [-0.25, 1.0]])
    names = np.array(["labels", "kd"])
    return {"gradient_names": names, "gradient_norms": np.array([0.4, 1.6]), "gradient_cosines": cosines}


def _lay_plane(run: Run, random: np.random.Generator, static: dict[str, Any], frame: dict[str, Any]) -> None:
    def plane(high: int) -> np.ndarray:
        return random.integers(high, size=(run.plane, run.plane)).astype(np.uint8)

    static["probe_x"] = random.normal(size=(run.rows, 2)).astype(np.float32)
    static["extent"] = np.array([-2, 2, -1.5, 2.5], dtype=np.float32)
    static["train_points"] = random.normal(size=(600, 2)).astype(np.float32)
    static["train_labels"] = random.integers(-1, run.classes, size=600)
    frame |= {"field_class": plane(run.classes), "field_share": plane(256)}
    if run.teacher:
        static |= {"teacher_field_class": plane(run.classes), "teacher_field_share": plane(256)}
        frame["field_teacher_share"] = plane(256)


def listing(count: int) -> bytes:
    """A zip that holds nothing, and whose directory lists one name again and again."""
    name = b"a.npy"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, *[0] * 7, len(name), 0) + name
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, *[0] * 8, len(name), *[0] * 6) + name
    at, size = len(local), count * len(entry)
    tail = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
    tail += struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1)
    return local + entry * count + tail + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
