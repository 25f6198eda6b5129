"""What the transport bar says of a run, as plain numbers with units in their names."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from app.live.run_watcher import Watcher
from kdcore.events import Checkpoint, Step
from kdcore.jobs.log import Heard
from kdcore.jobs.states import RESUMABLE
from kdcore.runs.record import Record

RATE_OVER_S = 4.0  # the speed is measured over this time


def status(watcher: Watcher, at: int | None, mine: bool) -> dict[str, Any]:
    """Where a run stands, now or at the recorded frame of step `at`; accuracies are fractions, absent ones None."""
    run, subject = watcher.run, watcher.subject
    record = subject.record(at)
    step = subject.step if at is None else at
    steps = record.started.steps if record.started else subject.spec.steps
    going = run.state == "running" and not run.paused
    rate = steps_per_s(subject.told, subject.looks, watcher.begun, watcher.paced) if going else None
    return {
        "state": run.state,
        "mine": mine,
        "recorded": run.recorded,
        "paused": run.paused,
        "stopping": run.state == "running" and run.cancel_at is not None,
        "teaching": watcher.teaching,
        "learner": subject.learner,
        "taught": subject.spec.teacher is not None or subject.spec.service is not None,
        "begins": _begins(record, step),
        "message": run.message,
        "place": watcher.place,
        "held": watcher.held,
        "speed": watcher.speed,
        "step": step,
        "newest_step": subject.step,
        "steps": steps,
        "resumes": _resumes(subject.told, run.state),
        "at": at,
        "frames": subject.frames,
        "loss": record.steps[-1].loss if record.steps else None,
        "loss_step": record.steps[-1].step if record.steps else None,
        **_scores(record),
        "steps_per_s": rate,
        "elapsed_s": _elapsed_s(watcher),
        "attempt": run.attempt,
        "eta_s": (steps - step) / rate if rate else None,
    }


def _scores(record: Record) -> dict[str, Any]:
    """Both networks' newest accuracy, on which split and at which step; the test split's once there is one."""
    last = record.evaluations[-1] if record.evaluations else None
    return {
        "split": last.split if last else None,
        "scored_step": last.step if last else None,
        "student_accuracy": last.student.accuracy if last else None,
        "teacher_accuracy": last.teacher.accuracy if last and last.teacher else None,
        "agreement": last.agreement if last else None,
    }


def _begins(record: Record, step: int) -> int | None:
    """Return the step after which the student learns, while its source still learns alone; None from then on."""
    lead = record.started.lead if record.started else 0
    return lead if step <= lead and lead else None


def _resumes(told: Sequence[Heard], state: str) -> int | None:
    """Return the step from which a run that broke off would go on: its last checkpoint's; None where nothing broke
    off.
    """
    if state not in RESUMABLE:
        return None
    return next((heard.event.step for heard in reversed(told) if isinstance(heard.event, Checkpoint)), 0)


def _elapsed_s(watcher: Watcher) -> float | None:
    run = watcher.run
    return None if run.started_at is None else (run.finished_at or time.time()) - run.started_at


def steps_per_s(
    told: Sequence[Heard], looks: Iterable[tuple[float, int]] = (), begun: float = 0.0, paced: float = 0.0
) -> float | None:
    """Return steps per second over the last few seconds, or since the point before where these lie apart.

    Time in which the run was paused, went at another pace or was interrupted does not count.

    Args:
        told: what the run told; its loss points count, which lie minutes apart in a long run.
        looks: when somebody saw something of it, and its step then.
        begun: when its newest attempt began, unix s; what was told before was told by another.
        paced: when it was last let go on after a pause, or its speed was changed, unix s.
    """
    steps = ((heard.at, heard.event.step) for heard in told if isinstance(heard.event, Step))
    points = sorted(point for point in [*looks, *steps] if point[0] >= begun)
    before = [step for at, step in points if at <= paced]
    points = [(paced, before[-1]) for _ in before[:1]] + [point for point in points if point[0] > paced]
    if len(points) < 2:
        return None
    end, last = points[-1]
    begin, first = next((point for point in reversed(points) if point[0] <= end - RATE_OVER_S), points[0])
    return (last - first) / (end - begin) if end > begin and last > first else None
