"""Drives the pages in tests: what stands on one, pressing its buttons, and what a run tells them."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from kdcore.events import Cost, Evaluated, Event, Finished, Loss, Score, Started, Step
from kdcore.jobs.rows import Run
from kdcore.spec.spec import Spec

ME = "me"
Open = Callable[..., AppTest]
Finish = Callable[..., Run]


def button(page: AppTest, label: str) -> AppTest:
    """Press the first button of that label; the page afterwards."""
    return next(item for item in page.button if item.label == label).click().run()


def labels(page: AppTest) -> list[str]:
    """Every button on the page."""
    return [item.label for item in page.button]


def said(page: AppTest) -> str:
    """Every sentence on the page."""
    kinds = (page.markdown, page.caption, page.warning, page.error, page.success, page.info, page.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def components(page: AppTest) -> int:
    """How many components the page shows beside charts; one that every page has for the keyboard shows nothing."""
    apart = ("kdlab_reach", "kdlab_chart")
    return sum(item.proto.component_name not in apart for item in page.get("bidi_component"))


def charts(page: AppTest) -> int:
    """How many Plotly figures stand among the page's elements."""
    return sum(item.proto.component_name == "kdlab_chart" for item in page.get("bidi_component"))


def unfold(page: AppTest, key: str) -> AppTest:
    """Unfold what is made only then; the page afterwards."""
    page.session_state[key] = True
    return page.run()


def cards(page: AppTest) -> str:
    """The HTML on the page."""
    return "".join(item.proto.body for item in page.get("html"))


def story(spec: Spec, accuracy: float) -> list[Event]:
    """What a short run tells."""
    cost = Cost(parameters=10, multiply_adds=20, size_bytes=40)
    score = Score(accuracy=accuracy, nll=0.3, ece=0.05)
    teacher = Score(accuracy=0.95, nll=0.2, ece=0.02)
    steps = spec.schedule.steps
    started = Started(
        step=0,
        steps=steps,
        device="cpu",
        torch="2",
        classes=("a", "b"),
        rows={"train": 10, "val": 5, "test": 5},
        student=cost,
        teacher=cost,
    )
    told: list[Event] = [started]
    for done in (steps // 2, steps):
        terms = {"labels": Loss(weight=1.0, value=1 / done)}
        told.append(Step(step=done, learning_rate=0.1, loss=1 / done, terms=terms, train_accuracy=accuracy))
        told.append(Evaluated(step=done, split="val", student=score, teacher=teacher, agreement=0.9, kl=0.1))
    result = {"student_accuracy": accuracy, "teacher_accuracy": 0.95, "agreement": 0.9}
    return [*told, Finished(step=steps, result=result)]
