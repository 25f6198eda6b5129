"""The frontier's drawing, on points made by hand: every run has its place, its name and its price."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.components import frontier_chart
from app.panels import View
from kdcore.blackbox.frontier import Point, Reference
from kdcore.blackbox.orders import Order, spec

MADE, LOCAL = spec(Order(preset="paper")), spec(Order(preset="kd", local=True))
POINTS = [
    Point("a", MADE, 1000, 0, 1.0, 0.8, 0.85, spent=True),
    Point("b", LOCAL, 100, 100, 0.1, 0.7, 0.75, spent=False),
    Point("c", MADE.model_copy(update={"seed": 1}), 5000, 0, 5.0, 0.78, None, spent=False),
]


def test_points_stand_by_images_and_measure() -> None:
    figure = frontier_chart.figure(POINTS, None, "accuracy", "a", "light")
    traces = {trace["uid"]: trace for trace in figure["data"]}
    assert (traces["mekd"]["x"], traces["mekd"]["y"]) == ([1000, 5000], [0.8, 0.78])
    assert (traces["local"]["x"], traces["local"]["y"]) == ([100], [0.7])
    assert (traces["best"]["x"], traces["best"]["y"]) == ([100, 1000], [0.7, 0.8])
    assert traces["mekd"]["marker"]["line"]["width"] == [3, 0]  # a ring around the run on show
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert "maker" not in traces
    assert figure["layout"]["yaxis"]["autorangeoptions"]["clipmax"] < 1.05  # no axis of shares goes on to 200 %
    assert figure["layout"]["yaxis"]["tickformat"] == ".1~%"  # near points have ticks that differ


def test_what_was_not_measured_has_no_point() -> None:
    figure = frontier_chart.figure(POINTS, None, "agreement", "a", "dark")
    assert {trace["uid"]: trace["x"] for trace in figure["data"]}["mekd"] == [1000]


def shown(points: list[Point], monkeypatch: pytest.MonkeyPatch) -> tuple[AppTest, list[dict[str, Any]]]:
    """The frontier of a page where these runs are over, and the figures that it draws."""
    figures: list[dict[str, Any]] = []

    def page() -> None:
        from types import SimpleNamespace

        from app.components import frontier_chart

        run: Any = SimpleNamespace(id="a", spec=frontier_chart.gathered(None)[0][0].spec)  # type: ignore[arg-type]
        frontier_chart.frontier(run)

    monkeypatch.setattr(frontier_chart, "gathered", lambda _: (points, None))
    monkeypatch.setattr(frontier_chart, "chart", lambda figure, *_, **__: figures.append(figure))
    monkeypatch.setattr(frontier_chart.state, "view", lambda: View())
    test = AppTest.from_function(page).run(timeout=60)
    assert not test.exception
    return test, figures


def test_without_any_agreement_the_page_says_so_and_shows_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    test, (drawn,) = shown([point._replace(agreement=None) for point in POINTS], monkeypatch)
    assert [one.value for one in test.info] == [
        "Agreement was not measured in any run with this teacher, so accuracy is shown."
    ]
    assert drawn["layout"]["yaxis"]["title"]["text"] == "accuracy, test"
    assert sum(len(trace["x"]) for trace in drawn["data"] if trace["mode"] == "markers") == 3
    assert not test.get("button_group")


def test_with_an_agreement_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    test, (drawn,) = shown(POINTS, monkeypatch)
    assert not test.info
    assert drawn["layout"]["yaxis"]["title"]["text"] == "agreement with the teacher, test"


def test_runs_that_asked_nothing_draw_no_empty_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    test, figures = shown([POINTS[0]._replace(images=0)], monkeypatch)
    assert not figures
    assert "nothing to plot" in test.info[-1].value


def test_a_point_says_what_it_cost() -> None:
    (dots,) = (
        trace
        for trace in frontier_chart.figure(POINTS, None, "accuracy", "", "light")["data"]
        if trace["uid"] == "mekd"
    )
    assert "MEKD as in the paper" in dots["hovertext"][0]
    assert "1,000 queries, 0 of them real<br>cost $1.00" in dots["hovertext"][0]
    assert "query budget used up" in dots["hovertext"][0]
    row = frontier_chart.line(POINTS[0], frontier_chart.named_apart(POINTS)["a"])
    assert row["run"] == "MEKD as in the paper, few steps · seed 0"  # as the other differs in that alone
    assert row["open"] == "./blackbox?run=a"


def test_the_honest_line_is_there_where_it_can_be() -> None:
    beside = Reference("r", LOCAL, 0.94, None)
    drawn = frontier_chart.figure(POINTS, beside, "accuracy", "a", "light")["layout"]
    assert [shape["y0"] for shape in drawn["shapes"]] == [0.94]
    assert drawn["annotations"][0]["text"] == "on the real local images: 94.0 %"
    assert frontier_chart.figure(POINTS, beside, "agreement", "a", "light")["layout"]["shapes"] == []
    assert (
        "The dashed line is a student trained on the real local images (Knowledge distillation)."
        in frontier_chart._caption(MADE, beside, "accuracy")
    )
    longer = LOCAL.model_copy(update={"schedule": LOCAL.schedule.model_copy(update={"steps": 2000})})
    told = frontier_chart._caption(MADE, Reference("r", longer, 0.94, None), "accuracy")
    assert "(Knowledge distillation, 2,000 steps against 800 here)." in told
    assert "No run with this teacher was trained on the real local images" in frontier_chart._caption(
        MADE, None, "accuracy"
    )
    assert "The dashed line is another student trained on the real local images" in frontier_chart._caption(
        LOCAL, beside, "accuracy"
    )
    assert "No other run with this teacher was trained on the real local images" in frontier_chart._caption(
        LOCAL, None, "accuracy"
    )


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (Order(preset="kd", local=True), "Knowledge distillation on local images"),
        (Order(preset="aligned"), "MEKD, aligned, few steps"),
        (Order(preset="released", quick=False, data="mnist"), "MEKD as in the released code"),
        (Order(preset="quick"), "MEKD, aligned and quick"),
        (Order(preset="released", access="labels"), "MEKD as in the released code, few steps"),
    ],
)
def test_a_run_is_named_by_its_preset(order: Order, name: str) -> None:
    assert frontier_chart.name(spec(order)) == name


def test_a_run_of_no_preset_is_named_by_what_it_is() -> None:
    changed = MADE.model_copy(update={"schedule": MADE.schedule.model_copy(update={"steps": 7})})
    assert frontier_chart.name(changed) == "Mapping-emulation KD (MEKD)"
