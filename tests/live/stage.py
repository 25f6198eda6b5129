"""A run on stage for tests: the store and the files it leaves while it trains, without training."""

from __future__ import annotations

import os

import numpy as np

from app.panels import Panel, View
from kdcore.contracts.control import Command
from kdcore.events import Cost, Evaluated, Finished, Frame, Loss, Score, Started, Step
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.record import Arrays, Record, write_arrays
from kdcore.spec.lineage import recommended

OWNER = "a" * 32
STRANGER = "b" * 32
CLASSES = 2
ROWS = 24
PLANE = 20
COST = Cost(parameters=10, multiply_adds=20, size_bytes=40)


class Stage:
    """One run on 2-D data that tells what the test wants it to."""

    def __init__(self, store: Store, seed: int = 0) -> None:
        self.store = store
        self.random = np.random.default_rng(seed)
        self.points = self.random.normal(size=(ROWS, 2)).astype(np.float32)  # the probe set's
        self.run = store.submit(recommended("moons", "kd", seed=seed), OWNER)

    @property
    def id(self) -> str:
        return self.run.id

    def begin(self) -> Run:
        """Claim the run and say what a worker says first."""
        self.store.claim(os.getpid(), self.id)
        cost = {"student": COST, "teacher": COST}
        rows = {"train": 100, "val": ROWS, "test": 100}
        names = ("upper", "lower")
        started = Started(step=0, steps=2000, device="cpu", torch="2", classes=names, rows=rows, **cost)
        self.store.append(self.id, [started])
        write_arrays(self.run.folder / "static.npz", self._static())
        return self.store.get(self.id)

    def tell(self, step: int) -> None:
        """One loss point."""
        loss = 2.0 / (1 + step)
        terms = {"labels": Loss(weight=0.1, value=loss), "kd": Loss(weight=0.9, value=loss)}
        accuracy = min(0.95, step / 100)
        self.store.append(
            self.id, [Step(step=step, learning_rate=0.1, loss=loss, terms=terms, train_accuracy=accuracy)]
        )

    def evaluate(self, step: int, accuracy: float) -> None:
        """One validation pass."""
        student, teacher = Score(accuracy=accuracy, nll=0.3, ece=0.1), Score(accuracy=0.97, nll=0.1, ece=0.02)
        scored = Evaluated(step=step, split="val", student=student, teacher=teacher, agreement=0.9, kl=0.1)
        self.store.append(self.id, [scored])

    def record_frame(self, step: int) -> None:
        """A recorded frame."""
        file = f"frames/{step:08d}.npz"
        write_arrays(self.run.folder / file, self.frame(step))
        self.store.append(self.id, [Frame(step=step, file=file)])

    def show(self, channel: str, step: int) -> None:
        """Arrays for those who look."""
        write_arrays(self.run.folder / "live" / f"{channel}.npz", self.frame(step), compress=False)

    def finish(self, step: int = 2000) -> None:
        self.store.append(self.id, [Finished(step=step, result={"student_accuracy": 0.95})])

    def frame(self, step: int) -> Arrays:
        plane = self.random.integers(CLASSES, size=(PLANE, PLANE)).astype(np.uint8)
        share = np.full((PLANE, PLANE), 200, np.uint8)
        return {
            "step": np.array(step),
            "student_logits": self.random.normal(size=(ROWS, CLASSES)).astype(np.float32),
            "gradient_names": np.array(["labels", "kd"]),
            "gradient_norms": np.array([0.5, 1.0 + step]),
            "gradient_cosines": np.eye(2),
            "field_class": plane,
            "field_share": share,
            "field_teacher_share": share,
        }

    def _static(self) -> Arrays:
        labels = self.random.integers(CLASSES, size=ROWS)
        plane = np.zeros((PLANE, PLANE), np.uint8)
        return {
            "probe_index": np.arange(ROWS),
            "probe_labels": labels,
            "probe_x": self.points,
            "teacher_logits": self.random.normal(size=(ROWS, CLASSES)).astype(np.float32),
            "extent": np.array([-3, 3, -3, 3], np.float32),
            "train_points": self.points,
            "train_labels": labels,
            "teacher_field_class": plane,
            "teacher_field_share": plane + 250,
        }


class Easel:
    """Panels for tests: they draw the step and what they read of the view, and count how often."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def panel(self, name: str) -> Panel:
        """By name: "plain" reads nothing of the view, "hot" its temperature, "plane" is a field, "bad" fails."""

        def draw(record: Record, view: View) -> dict[str, object] | bytes:
            self.drawn.append(name)
            if name == "bad":
                raise ZeroDivisionError
            if name == "plane":
                return record.step.to_bytes(8, "little")
            layout = {"step": record.step, "points": len(record.steps), "loss": float("nan")}
            return {"data": [], "layout": layout | ({"temperature": view.temperature} if name == "hot" else {})}

        kind = "field" if name == "plane" else "plotly"
        return Panel("Title", kind, "Caption.", 1, False, lambda _: None, draw, lambda *_: {"step": [1, 2], "y": [3.5]})


def pause() -> Command:
    return Command("pause")
