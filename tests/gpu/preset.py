"""The whole quick preset: a teacher, MEKD's generator, and a student that learns behind the wall."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Iterator
from typing import Any

from kdcore.blackbox.orders import Order
from kdcore.blackbox.orders import spec as ordered
from kdcore.engine.train import train
from kdcore.events import Finished, Step
from kdcore.spec.spec import Spec
from tests.gpu.lines import Clock, Line, tried
from tests.gpu.place import Place

LEAST = {"digits": 0.5, "rendered": 0.3}  # of the test rows right; chance is 0.1, README's five seeds give 0.73
SMALL = 12  # steps of teacher, generator and student where it must be short


def asked(place: Place, small: bool) -> Spec:
    """The preset on digits, or on rendered ones where scikit-learn, which brings them, is missing."""
    spec = ordered(Order(data="digits" if importlib.util.find_spec("sklearn") else "rendered", preset="quick"))
    assert spec.teacher is not None
    device = {"device": place.device}
    spec = spec.model_copy(update={"teacher": spec.teacher.model_copy(update=device), **device})
    return shortened(spec) if small else spec


def shortened(spec: Spec) -> Spec:
    """The same with few steps and, where they are drawn, few images."""
    known = spec.teacher and shortened(spec.teacher)
    source = spec.source.knobs | ({"steps": SMALL} if "steps" in spec.source.knobs else {})
    data = spec.data.knobs | ({"samples": 300} if "samples" in spec.data.knobs else {})
    return spec.model_copy(
        update={
            "teacher": known,
            "schedule": spec.schedule.model_copy(update={"steps": SMALL}),
            "source": spec.source.model_copy(update={"knobs": source}),
            "data": spec.data.model_copy(update={"knobs": data}),
        }
    )


def whole(place: Place, small: bool) -> Line:
    """Train the teacher, then run."""
    spec = asked(place, small)
    assert spec.teacher is not None
    began = time.perf_counter()
    taught: dict[str, Any] = {"data_folder": place.folder}
    list(train(spec.teacher, place.folder / "teacher", **taught))
    weights = place.folder / "teacher" / "student.safetensors"
    story = list(train(spec, place.folder / "preset", teacher_weights=weights, **taught))
    took_s, ended = time.perf_counter() - began, story[-1]
    assert isinstance(ended, Finished)
    assert all(math.isfinite(event.loss) for event in story if isinstance(event, Step))
    right = ended.result["student_accuracy"]
    least = 0.0 if small else LEAST[spec.data.name]
    figure = (
        f"{spec.data.name}, {story[-1].step} steps, {right:.1%} right, teacher {ended.result['teacher_accuracy']:.1%}"
    )
    say = "only that it runs to its end" if small else f"at least {least:.0%}"
    return Line("held" if right >= least else "FAILED", "the quick preset", f"{figure}, {took_s:.0f} s", say)


def lines(place: Place, clock: Clock, small: bool) -> Iterator[Line]:
    """One."""
    if clock.over:
        yield Line("skipped", "the quick preset", "no time was left for it")
        return
    yield tried("the quick preset", lambda: whole(place, small))
