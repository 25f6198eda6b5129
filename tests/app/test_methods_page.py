"""The Methods page: every method, its knobs in the link, its picture, and the helper that computes it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from lab_driver import Open, button, charts, labels, said, unfold

from app.components import curve_figures
from app.helpers import loss_curves
from app.results import method_results
from app.results.papers import beside
from app.results.studies import publish
from kdcore.contracts.access import GRANTS
from kdcore.contracts.method import FAMILIES
from kdcore.errors import BadInput
from kdcore.explain.examples import Example
from kdcore.spec.catalogue import ROOT, entry
from kdcore.spec.registry import METHODS
from kdcore.stdio_rpc import HelperProcess
from kdcore.study.study import Study

REQUEST = {"method": "ce", "knobs": {}, "example": {}}


@pytest.fixture(scope="module", autouse=True)
def helper() -> Iterator[HelperProcess]:
    """The pages' helper, ended after the tests of this file."""
    yield loss_curves.helper
    loss_curves.helper.stop()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_told_whole_and_drawn(lab: Open, method: str) -> None:
    page = lab("methods", method=method)
    one = entry("method", method)
    assert not page.exception
    assert not page.warning
    assert [item.value for item in page.header] == [one["title"]]
    assert page.latex[0].value.strip("$\n ") == one["equation"]
    assert not page.code  # a browser runs 1.5 MB to colour it, so it waits for being unfolded
    assert "**Differences from the paper:**" in said(page)
    assert "**The loss is zero when:**" in said(page)
    assert charts(page) == 1, said(page)
    keys = {item.key for kind in (page.number_input, page.selectbox, page.toggle, page.button_group) for item in kind}
    assert {f"form method.{knob}" for knob in one["schema"]["properties"]} <= keys
    assert unfold(page, "source").code[0].value == (ROOT.parent / one["file"]).read_text().strip()


@pytest.mark.parametrize(("access", "grants"), GRANTS.items())
def test_the_list_holds_what_the_teacher_grants_family_by_family(lab: Open, access: str, grants: Any) -> None:
    page = lab("methods", access=access)
    fitting = [name for name in METHODS if METHODS[name].needs <= grants]
    listed = [item.key.removeprefix("choose ") for item in page.button if item.key.startswith("choose ")]
    assert sorted(listed) == sorted(fitting)
    order = [list(FAMILIES).index(METHODS[name].family) for name in listed]
    assert order == sorted(order)
    assert ("are not listed" in said(page)) == (len(fitting) < len(METHODS))


def test_the_link_carries_method_knobs_and_example(lab: Open) -> None:
    page = button(lab("methods"), entry("method", "dkd")["title"])
    assert page.query_params == {"method": "dkd"}
    next(item for item in page.number_input if item.key == "form method.beta").set_value(2.0).run()
    page.slider(key="form example.gap").set_value(-1.0).run()
    assert page.query_params == {"method": "dkd", "method.beta": "2.0", "example.gap": "-1.0"}
    again = lab("methods", **page.query_params)
    assert next(item for item in again.number_input if item.key == "form method.beta").value == 2.0
    assert again.slider(key="form example.gap").value == -1.0
    assert "Beta β · changed" in [item.label for item in again.number_input]


def test_a_peer_stands_where_there_is_no_teacher(lab: Open) -> None:
    page = lab("methods", method="dml", **{"example.gap": "-4.0"})
    assert page.slider(key="form example.gap").label == "Peer's logit of A minus its logit of B"
    terms = loss_curves.curves("dml", {}, Example(gap=-4.0))
    lowest = min(zip(terms["terms"]["kd"], terms["x"], strict=True))
    assert lowest == (pytest.approx(0, abs=1e-6), -4.0)


def test_states_of_mind_and_single_logits(lab: Open) -> None:
    page = lab("methods", example="five")
    page.button_group(key="form example.teacher").set_value(2).run()
    page.slider(key="form example.student.4").set_value(3.5).run()
    assert page.query_params == {
        "example": "five",
        "example.teacher": "0.0,5.0,1.0,0.0,-1.0",
        "example.student": "2.0,2.5,0.5,0.0,3.5",
    }
    assert charts(page) == 1


def test_a_broken_example_in_a_link_is_one_sentence(lab: Open) -> None:
    page = lab("methods", **{"example.gap": "99", "example.frob": "1", "example.teacher": "1,2"})
    told = "\n".join(item.value for item in page.warning)
    assert not page.exception
    assert "'example.gap' should be less than or equal to 8, but got '99'." in told
    assert "There is no setting named 'example.frob'." in told
    assert page.query_params == {}


def test_the_lab_keeps_its_own_settings(lab: Open) -> None:
    page = lab(seed="5")
    page.switch_page("views/methods.py").run()
    button(page, entry("method", "dkd")["title"])
    page.query_params = {}
    page.switch_page("views/lab.py").run()
    assert page.query_params == {"seed": "5"}


def test_ways_to_the_lab_and_to_the_library(lab: Open) -> None:
    page = lab("methods", method="fitnet", **{"method.hint_weight": "7.0"})
    ways = {item.proto.label: item.proto for item in page.get("page_link")}
    assert "method=fitnet" in ways["Try it in the Lab"].query_string
    assert "method.hint_weight=7.0" in ways["Try it in the Lab"].query_string
    assert "Paper in the Library" in ways


def test_a_method_that_the_reading_list_does_not_hold_has_its_card(lab: Open) -> None:
    ways = {item.proto.label: item.proto for item in lab("methods", method="crd").get("page_link")}
    query = parse_qs(ways["Paper in the Library"].query_string)
    assert [row.name for row in beside(query["q"][0])] == ["crd"]


def test_a_method_that_the_teacher_does_not_grant_says_so(lab: Open) -> None:
    page = lab("methods", method="fitnet", access="labels")
    assert "Not available at the chosen access level." in said(page)
    assert entry("method", "fitnet")["title"] not in labels(page)


def test_a_helper_that_fails_is_told_and_started_again(lab: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_curves, "helper", broken := HelperProcess("kdcore.no_such_module", 60.0, "The example"))
    loss_curves._curves.cache_clear()
    page = lab("methods", method="ce")
    assert not page.exception
    assert charts(page) == 0
    assert "The example could not be computed" in said(page)
    assert "No module named" in said(page)
    broken.stop()


def test_a_killed_helper_comes_back(helper: HelperProcess) -> None:
    assert "curves" in helper.ask(REQUEST)
    first = helper._process
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert "curves" in helper.ask(REQUEST)
    assert helper._process is not first


def test_a_helper_that_takes_too_long_is_ended() -> None:
    slow = HelperProcess("json.tool", 0.5, "The example")  # it reads to the end before it answers
    with pytest.raises(BadInput, match="could not be computed"):
        slow.ask(REQUEST)
    assert slow._process is None


@pytest.mark.parametrize("look", ["light", "dark"])
def test_pictures_hold_a_line_or_bars_for_each_term(look: Any) -> None:
    gap = loss_curves.curves("dkd", {}, Example())
    names = [trace["name"] for trace in curve_figures.two(gap, Example(), look, "teacher")["data"]]
    assert names == ["labels", "tckd", "nckd", "total", "negative gradient"]
    five = Example(kind="five")
    figure = curve_figures.five(loss_curves.curves("dkd", {}, five), five, look, "teacher")
    assert [trace["name"] for trace in figure["data"]][:2] == ["teacher", "student"]
    shares = loss_curves.curves("fitnet", {}, Example())
    assert [trace["name"] for trace in curve_figures.features(shares, look)["data"]] == ["labels", "hint", "total"]


def test_the_page_tells_how_a_method_fared(lab: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"name": "moons", "says": "Two moons.", "spec": {}}
    asked = Study.model_validate(
        {"name": "catalogue", "says": "A test.", "tasks": [task], "methods": ["ce", "kd", "dkd"]}
    )
    gains = {"kd": 0.0, "ce": -0.02, "dkd": 0.01}
    rows = [
        {"task": "moons", "method": method, "seed": seed, "budget": "steps", "commit": "abc1234", "steps": 100}
        | {"step_s": 1.0, "accuracy": 0.8 + gain + seed / 100, "agreement": 0.9, "ece": 0.05, "nll": 0.5}
        for method, gain in gains.items()
        for seed in asked.seeds
    ]
    publish(tmp_path / "catalogue.yaml", asked, rows)
    monkeypatch.setattr(method_results, "FOLDER", tmp_path)
    page = lab("methods", method="dkd")
    assert not page.exception
    assert "More accurate than kd in 5 of 5 pairs" in said(page)
    assert "p = 0.062, which may be chance) and on 1 of 1 tasks" in said(page)
    assert "1.0 points more on average" in said(page)
    assert "about these tasks, with their teachers and test rows, which all seeds of a task share" in said(page)
    assert "Below 0.025, which is 0.05 divided by the number of comparisons, a method differs" in said(page)
    assert "commit abc1234" in said(page)
    own = page.table[0].value
    assert list(own["Method"]) == [entry("method", name)["title"] for name in ("kd", "ce", "dkd")]
    assert list(own["Accuracy"]) == ["82.0 % ± 2.0", "80.0 % ± 2.0", "83.0 % ± 2.0"]
    assert not page.dataframe
    page.session_state["ranking"] = True
    league = page.run().dataframe[0].value
    assert list(league["Gain, points"]) == [1.0, -2.0]
    assert list(league["Tasks won"]) == ["1 of 1", "0 of 1"]
    plain = lab("methods", method="kd")
    assert "More accurate" not in said(plain)
    assert len(plain.table[0].value) == 2


@pytest.mark.parametrize(
    ("p", "compared", "words"),
    [
        (0.0001, 55, "significant on these tasks"),
        (0.01, 55, "which may be chance among 55 methods"),
        (0.01, 1, "significant on these tasks"),
        (0.2, 1, "which may be chance"),
    ],
)
def test_what_a_p_is_worth_depends_on_how_many_were_compared(p: float, compared: int, words: str) -> None:
    assert method_results.sure(p, compared) == words


def test_without_results_the_page_shows_the_rest(lab: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_results, "FOLDER", tmp_path)
    page = lab("methods", method="kd")
    assert not page.exception
    assert not page.table
    assert page.latex
