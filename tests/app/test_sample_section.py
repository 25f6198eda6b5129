"""The section on one row: what it says, what it asks of the examiner, and how its pieces tell what they were told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from case_factory import case, random_case
from lab_driver import Open, button, cards, components, said
from streamlit.testing.v1 import AppTest

from app.helpers import comparison
from app.inspector import _attributions, _input_paths, _neighbours, pad
from app.inspector.section_sample import why
from app.reports import html_images
from kdcore.comparison.case import Case, folder_of
from kdcore.comparison.sample import sample
from kdcore.errors import BadInput
from kdcore.spec.spec import Choice

CASE = "case-0123456789ab"
PIXELS = np.full((1, 8, 8), 9, dtype=int).tolist()
SIDE = {"logit": 2.0, "from": 0.5, "left": 0.01, "integrated": PIXELS, "grad_cam": [[0, 1], [2, 0]],
        "cam": [[-1.0, 1.0], [2.0, 0.0]], "no_cam": ""}  # fmt: skip
WAY = {"probability": np.linspace([1, 0], [0, 1], 21).tolist(), "answers": [0] * 10 + [1] * 11,
       "flips": [{"share": 0.5, "to": 1}]}  # fmt: skip
TOLD: dict[str, dict[str, Any]] = {
    "maps": {"image": PIXELS, "baseline": PIXELS, "of": 1, "teacher": SIDE, "student": SIDE},
    "nearest": {
        "among": 100, "of": 400,
        **{who: [{"row": 7, "image": PIXELS, "label": 2, "distance": 0.25}] for who in ("teacher", "student")},
    },
    "way": {
        "share": np.linspace(0, 1, 21).tolist(), "classes": [0, 1], "pictures": [PIXELS] * 5, "teacher": WAY,
        "student": WAY | {"flips": [], "answers": [0] * 21}, "end": {"row": 5, "label": 1, "training": True},
    },
    "smallest": {
        "goal": "agree", "before": [1, 0], "after": [0, 0], "steps": 3, "found": True, "image": PIXELS,
        "changed": PIXELS, "gap": (np.array(PIXELS) / 255).tolist(), "norm": 0.5, "largest": 0.1,
    },
    "drawn": {
        "teacher": {"probability": [0.7, 0.1, 0.1, 0.1], "answer": 0},
        "student": {"probability": [0.2, 0.6, 0.1, 0.1], "answer": 1},
    },
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the examiner was asked; it answers with what stands above."""
    told: list[tuple[str, dict[str, Any]]] = []

    def ask(_: object, task: str, **wishes: Any) -> dict[str, Any]:
        told.append((task, wishes))
        return TOLD[task]

    monkeypatch.setattr(comparison, "ask", ask)
    return told


@pytest.fixture
def opened(lab: Open) -> Callable[..., AppTest]:
    """Opens the section on a case that is there."""
    seen = random_case(folder_of(CASE))
    about = seen.about.model_copy(update={"data": Choice(name="digits")})
    (seen.folder / "about.json").write_text(about.model_dump_json())
    np.savez(seen.folder / "neighbours.npz", index=np.arange(3))
    return lambda **query: lab("inspector", case=CASE, section="sample", **query)


def look(page: AppTest, *pieces: str) -> AppTest:
    """Look closer at these pieces."""
    page.button_group(key="closer").set_value(list(pieces)).run()
    assert not page.exception
    return page


def test_a_pin_shows_both_answers_and_asks_nobody(opened: Callable[..., AppTest], asked: list[Any]) -> None:
    page = opened(sample="3")
    assert not page.exception
    assert components(page) == 1
    assert "Row 3" in cards(page)
    assert asked == []
    page = page.number_input[0].set_value(9).run()
    assert page.query_params["sample"] == "9"
    assert "Row 9" in cards(page)


def test_two_rows_stand_side_by_side(opened: Callable[..., AppTest]) -> None:
    page = button(opened(sample="3"), "Compare two samples")
    assert page.query_params["beside"] == "4"
    assert all(f"Row {row}" in cards(page) for row in (3, 4))
    page = button(page, "One row")
    assert "beside" not in page.query_params


def test_a_row_that_is_not_there_is_the_last_one(opened: Callable[..., AppTest]) -> None:
    page = opened(sample="99999", beside="88888")
    assert not page.exception
    assert "Row 199" in cards(page)


def test_each_piece_asks_once_and_shows_what_it_was_told(opened: Callable[..., AppTest], asked: list[Any]) -> None:
    page = look(opened(sample="3"), "maps", "near", "ways")
    tasks = [task for task, _ in asked]
    assert sorted(tasks) == ["maps", "nearest", "smallest", "way"]
    assert asked[0][1] == {"row": 3, "of": int(Case(folder_of(CASE)).rows.student_top[3]), "baseline": "black"}
    html = cards(page)
    for told in ("Grad-CAM", "CAM", "Integrated gradients", "0.25 away", "Sought among 100 of 400", "Before", "After"):
        assert told in html
    assert "The teacher changes to class 1 at 50%." in html
    assert "The student never changes its answer." in html
    page.run()
    assert [task for task, _ in asked] == tasks


def test_what_hinders_a_piece_is_a_sentence(opened: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: Any) -> None:
        raise BadInput("This comparison has no models.")

    monkeypatch.setattr(comparison, "ask", refuse)
    page = look(opened(), "maps", "near", "ways", "edit")
    assert said(page).count("This comparison has no models.") == 5


def test_the_pad_asks_about_the_row_and_says_what_both_answer(opened: Callable[..., AppTest], asked: list[Any]) -> None:
    page = look(opened(sample="3"), "edit")
    pictures = Case(folder_of(CASE)).pictures
    assert pictures is not None
    assert asked == [("drawn", {"pixels": pictures[3].tolist()})]
    assert "Teacher says <b>class 0</b>, 70.0 %." in cards(page)
    assert "They disagree." in cards(page)
    page = button(page, "Empty pad")
    assert asked[-1] == ("drawn", {"pixels": np.zeros((1, 8, 8), dtype=int).tolist()})
    page = button(page, "Row 3 again")
    assert components(page) == 2


def test_points_have_sliders(lab: Open, asked: list[Any]) -> None:
    rows = np.array([[0.5, -0.25], [1.0, 1.0]], dtype=np.float32)
    seen = case(folder_of(CASE), np.array([0, 1]), np.eye(2), np.eye(2), rows)
    about = seen.about.model_copy(update={"data": Choice(name="moons")})
    (seen.folder / "about.json").write_text(about.model_dump_json())
    asked_of = TOLD["drawn"] | {}
    assert asked_of
    page = look(lab("inspector", case=CASE, section="sample"), "edit")
    assert [slider.value for slider in page.slider] == pytest.approx([0.5, -0.25])
    assert asked[-1][1]["pixels"] == pytest.approx([0.5, -0.25])


def test_answers_without_models_have_no_pad(lab: Open) -> None:
    case(folder_of(CASE), np.zeros(4), np.eye(4))
    page = look(lab("inspector", case=CASE, section="sample"), "edit")
    assert "Only outputs were uploaded" in said(page)


@pytest.mark.parametrize("sent", [None, "ink", [1, 2], [256] * 64, [-1] * 64, [[0.5]], {"a": 1}])
def test_the_pad_is_not_trusted(sent: object) -> None:
    with pytest.raises(BadInput, match="no image of these data"):
        pad.checked(sent, (1, 8, 8))
    assert np.shape(pad.checked(list(range(64)), (1, 8, 8))) == (1, 8, 8)


def test_why_tells_who_is_right_and_which_part_of_the_distance_is_larger(tmp_path: Any) -> None:
    seen = case(tmp_path, np.array([0, 1, -1]), np.log([[2, 1, 1], [1, 2, 1], [1, 1, 2]]),
                np.log([[1, 1, 2], [1, 2, 1], [1, 2, 1]]), classes=("<a>", "b", "c"))  # fmt: skip
    told = why(seen, sample(seen.rows, 0, 1.0))
    assert told[:3] == [
        "It is <b>&lt;a&gt;</b>.",
        "Teacher says <b>c</b>, 50.0 %; the label has rank 2.",
        "Student says <b>&lt;a&gt;</b>, 50.0 %.",
    ]
    assert told[3].startswith("They disagree: ")
    assert why(seen, sample(seen.rows, 1, 1.0))[3] == "Both outputs are identical."
    assert why(seen, sample(seen.rows, 2, 1.0))[0] == "It has no label."


def test_figures_hide_nothing_and_trust_nobody() -> None:
    html = html_images.figure(PIXELS, "<b>", "said", html_images.signed([[1.0, -1.0]], "light"))
    assert html.count("<img ") == 3
    assert "&lt;b&gt;" in html
    assert "(0.5, -1)" in html_images.figure([0.5, -1.0], "point", "")


def test_what_a_model_cannot_show_is_said(tmp_path: Any) -> None:
    seen = random_case(tmp_path)
    silent = {"lacks": "It only answers."}
    html = _attributions.card(TOLD["maps"] | {"teacher": silent}, "Row 1", "dark")
    assert "It only answers." in html
    flat = SIDE | {"grad_cam": None, "cam": None, "no_cam": "No CAM: the last stage is no map."}
    html = _attributions.card(TOLD["maps"] | {"student": flat}, "Row 1", "dark")
    assert "No Grad-CAM" in html
    assert "No CAM: the last stage is no map." in html
    point = {name: SIDE[name] for name in ("logit", "from", "left")} | {"integrated": [0.25, -1.0]}
    assert "x0 <b>+0.25</b>, x1 <b>-1</b>" in _attributions.card(
        {"image": [1.0, 2.0], "student": point}, "Row 1", "light"
    )
    assert "The teacher only answers" in _neighbours.neighbours(
        seen, {"among": 5, "of": 5, "student": TOLD["nearest"]["student"]}, "row 1"
    )
    missed = {"goal": "differ", "before": [1, 1], "steps": 50, "found": False, "image": PIXELS}
    assert "No change was found after which they differ, in 50 steps" in _input_paths.change(seen, missed, "light")
