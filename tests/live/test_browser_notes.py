"""What figures say in words, in a real browser: it wraps to the card, and the plots make way for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import person, served
from playwright.sync_api import Browser, Page
from record_factory import Run, record
from stage import Stage

from app.live.routes import PLOTLY, SCRIPTS, WEB
from app.panels import View, panel, panels
from kdcore.jobs.store import Store
from kdcore.runs.record import Record
from kdcore.spec.spec import Spec

pytestmark = pytest.mark.browser
FITTED = f"async ([layout, frame]) => (await import('{SCRIPTS}/notes.js')).fitted(layout, frame)"
APART = """name => {
  const node = document.querySelector(`[data-panel=${name}] .kd-plot`);
  const boxes = (what) => [...(node?.querySelectorAll(what) ?? [])].map((e) => e.getBoundingClientRect());
  const [card, said, others] = [boxes(".main-svg")[0], boxes(".annotation-text"), boxes("g.legend, .bars .point path")];
  const touch = (p, q) => p.left < q.right && q.left < p.right && p.top < q.bottom - 2 && q.top < p.bottom - 2;
  const inside = (p) => p.left >= card.left && p.right <= card.right && p.top >= card.top;
  return said.length > 0 && others.length > 0 && said.every((p) => inside(p) && !others.some((q) => touch(p, q)));
}"""
LINES = (
    "name => document.querySelector(`[data-panel=${name}] .kd-plot`).layout.annotations[0].text.split('<br>').length"
)
STAND = """([scripts, plotly, name, figure]) => import(`${scripts}/plot.js`).then(({ Plot }) => {
  const { node } = (window.plot = new Plot(plotly));
  const body = Object.assign(document.createElement("div"), { className: "kd-body" });
  const card = Object.assign(document.createElement("article"), { className: "kd-card" });
  Object.assign(card.dataset, { kind: "plotly", panel: name });
  document.querySelector(".kd").replaceChildren(card);
  card.append(body);
  body.append(node);
  return window.plot.draw(figure, "a run");
})"""
HIGH = "name => document.querySelector(`[data-panel=${name}] .kd-body`).offsetHeight"


@pytest.fixture(scope="module")
def page(lab_home: Path, chromium: Browser) -> Iterator[Page]:
    """A page of the small lab, with a run that has two networks' answers."""
    with (
        served(lab_home, "small_server:app", (Path(__file__).parent,)) as address,
        closing(Store(lab_home)) as store,
        person(chromium, address) as opened,
    ):
        stage = Stage(store)
        stage.begin()
        stage.record_frame(10)
        opened.goto(f"/?run={stage.id}&panels=fidelity,tug")
        yield opened


def test_words_stand_clear_of_edge_legend_and_plot_at_any_width(page: Page) -> None:
    heights = []
    for width in (390, 1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for name in ("fidelity", "tug"):
            page.locator(f"[data-panel={name}]").scroll_into_view_if_needed()
            page.wait_for_function(APART, arg=name)
        page.wait_for_function(f"([name, narrow]) => ({LINES})(name) > 2 === narrow", arg=["fidelity", width == 390])
        heights.append(page.evaluate(HIGH, "fidelity"))
    assert heights[0] == pytest.approx(heights[2], abs=4)  # of the same width, the same height


def unmeasured() -> Record:
    """A run whose remote teacher may be sent nothing for measuring."""
    seen = record(Run(making=True))
    service = {"name": "http", "knobs": {"model": "m"}}
    changed = {"teacher": None, "service": service, "wall": {"budget": 5000, "measure": "nothing"}}
    told = [frame.model_copy(update={"notes": {"frechet": frame.notes["frechet"]}}) for frame in seen.frames]
    spec = Spec.model_validate(seen.spec.model_dump(mode="json") | changed)
    static = {name: array for name, array in seen.static.items() if not name.startswith("teacher_")}
    return replace(seen, spec=spec, frames=tuple(told), static=static)


def crowned(figure: Any) -> bool:
    """Whether a figure has words on its paper and a legend."""
    return bool(figure["layout"].get("annotations")) and figure["layout"]["showlegend"]


RUNS = {"made images": record(Run(making=True)), "nothing measured": unmeasured(), "own": record(Run(telling=True))}
CROWNED = [  # figures with words and a legend above them
    (run, name)
    for run, seen in RUNS.items()
    for name, each in panels().items()
    if each.kind == "plotly" and each.suits(seen) and each.lacks(seen) is None and crowned(each.draw(seen, View()))
]


@pytest.mark.parametrize(("run", "name"), CROWNED)
def test_no_legend_is_written_over_on_a_phone(page: Page, run: str, name: str) -> None:
    figure: Any = panel(name).draw(RUNS[run], View(theme="dark", sample=2))
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/api/health")  # a page without components of its own
    style = (WEB / "component.css").read_text()
    page.set_content(
        f'<style>{style}</style><section class="kd" style="--st-font: sans-serif; padding: 1rem"></section>'
    )
    page.evaluate(STAND, [SCRIPTS, f"{PLOTLY}/plotly.min.js", name, figure])
    assert page.evaluate(APART, name)


def layout(*notes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The least that a figure's layout holds; its words are 10 px high, so a line of them takes 13."""
    where = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False, "x": 0}
    margin, legend = {"l": 50, "r": 10, "t": 10, "b": 40}, {"y": 1.02}
    font = {"size": 10, "family": "monospace"}
    return {"margin": margin, "legend": legend, "font": font, "annotations": [where | note for note in notes]} | more


def fitted(page: Page, asked: dict[str, Any], legend: int = 0) -> Any:
    size = {"l": 50, "r": 10, "t": 10, "b": 40, "w": 240, "h": 200}
    frame = {"width": 300, "height": 250, "size": size, "legend": legend}
    return page.evaluate(FITTED, [asked, frame])


def test_plots_on_both_sides_make_way_for_lines_between_them(page: Page) -> None:
    axes = {"yaxis": {"domain": [0, 0.5]}, "yaxis2": {"domain": [0.6, 1]}}
    found = fitted(page, layout({"text": "a<br>b<br>c", "y": 0.5}, **axes))
    assert found["layout"]["yaxis"]["domain"] == pytest.approx(
        [0, 0.425], abs=0.002
    )  # 170 px left, and 30 more between
    assert found["layout"]["yaxis2"]["domain"] == pytest.approx([0.66, 1], abs=0.002)
    assert found["wanted"] == pytest.approx(180 + 47 - 18 + 10 + 40)


def test_words_below_the_legend_lift_it_and_those_around_the_plots_widen_the_margin(page: Page) -> None:
    long = "twelve words of which no more than a few fit into one line"
    axes = {"yaxis": {"domain": [0, 0.9]}}
    lifted = fitted(page, layout({"text": "a<br>b<br>c", "y": 0.9}, **axes), legend=20)["layout"]
    high = (250 - 40 - 20 - 47) / 0.9  # px that are left for the plots, up to 1 on the paper
    assert lifted["legend"]["y"] == pytest.approx(0.9 + 47 / high, abs=0.002)
    below = fitted(page, layout({"text": long, "y": -0.02, "yanchor": "top"}, yaxis={}))["layout"]
    extra = below["annotations"][0]["text"].count("<br>")
    assert extra >= 1
    assert below["margin"] == {"l": 50, "r": 10, "t": 10, "b": 40 + 13 * extra}
    above = fitted(page, layout({"text": long, "y": 1.0}, yaxis={}))["layout"]
    assert above["margin"]["t"] == 10 + 13 * extra


def test_no_line_is_wider_than_its_room_and_bold_goes_on_in_the_next(page: Page) -> None:
    text = "one two · three <b>four five six seven eight nine ten eleven &lt; twelve</b> thirteen"
    found = fitted(page, layout({"text": text, "y": 1.0}, {"text": "beside", "y": 1.0, "x": 0.5}, yaxis={}))
    lines = found["layout"]["annotations"][0]["text"].split("<br>")
    assert " ".join(lines).replace("</b> <b>", " ").replace("\u00a0", " ") == text
    assert all(line.count("<b>") == line.count("</b>") for line in lines)
    measured = page.evaluate(
        "lines => lines.map((line) => { const e = document.createElement('span'); e.innerHTML = line;"
        "e.style = 'font: 10px monospace; white-space: pre; position: absolute'; document.body.append(e);"
        "const { width } = e.getBoundingClientRect(); e.remove(); return width; })",
        lines,
    )
    assert max(measured) <= 0.5 * 240
    assert len(lines) > 3


def test_a_title_of_an_axis_wraps_to_the_figure(page: Page) -> None:
    title = {"text": "an axis whose title is a good deal longer than the whole figure is wide"}
    found = fitted(page, layout(yaxis={}, xaxis={"title": title}))["layout"]
    assert found["xaxis"]["title"]["text"].replace("<br>", " ") == title["text"]
    assert "<br>" in found["xaxis"]["title"]["text"]
