"""A form that is not valid yet stays a form: a sentence beside the field, no Run, and everything can be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab_driver import Open, button, labels, said
from PIL import Image
from streamlit.testing.v1 import AppTest


def run(page: AppTest) -> Any:
    """The form's Run button."""
    return next(item for item in page.sidebar.button if item.label == "Run")


def photographs(folder: Path) -> None:
    """A class of three images."""
    folder.mkdir(parents=True)
    for row in range(3):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(folder / f"{row}.png")


def stands(page: AppTest) -> None:
    """Every part of the form is there, and nothing has replaced the page."""
    assert not page.exception
    assert not page.error
    assert {"Data", "Teacher", "Student", "Method"} <= {item.label for item in page.sidebar.selectbox}


def field(page: AppTest, key: str) -> Any:
    kinds = (page.text_input, page.number_input)
    return next(item for kind in kinds for item in kind if item.key == f"form {key}")


@pytest.mark.parametrize("points", ["", "[0,0,0]", "[0,0,0],[0.1,0,0],[0,0.1,3]"])
def test_points_that_make_no_data_set_yet_leave_canvas_and_form(lab: Open, points: str) -> None:
    page = lab(data="points", **{"data.points": points})
    stands(page)
    assert run(page).disabled
    assert "Draw at least two classes" in said(page) or "draw at least 6" in said(page)
    page = button(page, "Waves")
    stands(page)
    assert not run(page).disabled


def test_an_empty_canvas_can_be_filled_again(lab: Open) -> None:
    page = button(lab(data="points"), "Empty")
    stands(page)
    assert "Islands" in labels(page)
    assert not run(button(page, "Islands")).disabled


@pytest.mark.parametrize("path", ["", "/no/such/folder", "/dev/null"])
def test_a_folder_that_is_not_there_leaves_the_form(lab: Open, path: str) -> None:
    page = lab(data="image_folder", **{"data.path": path})
    stands(page)
    assert run(page).disabled
    assert "needs the path of a folder" in said(page)
    assert field(page, "data.path").value == path


def test_a_folder_with_one_class_leaves_the_form(lab: Open, tmp_path: Path) -> None:
    photographs(tmp_path / "pets" / "cats")
    page = lab(data="image_folder", **{"data.path": str(tmp_path / "pets")})
    stands(page)
    assert run(page).disabled
    photographs(tmp_path / "pets" / "dogs")
    assert not run(page.run()).disabled
    (tmp_path / "pets" / "dogs" / "notes.txt").write_text("no image")
    page = page.run()
    assert run(page).disabled
    assert "notes.txt is not an image" in said(page), "before a run begins"


def test_what_was_typed_wrongly_stays_to_be_corrected(lab: Open) -> None:
    page = lab(data="moons", **{"schedule.decay": "step"})
    page = field(page, "schedule.milestones").set_value("0.5, 0.8").run()
    page = field(page, "schedule.milestones").set_value("half").run()
    assert field(page, "schedule.milestones").value == "half"
    assert any("'half'" in item.value for item in page.error)
    assert run(page).disabled
    assert page.query_params["schedule.milestones"] == "0.5,0.8"
    page = field(page, "seed").set_value(4).run()  # what else is changed meanwhile
    assert field(page, "schedule.milestones").value == "half"
    page = field(page, "schedule.milestones").set_value("0.75").run()
    stands(page)
    assert not run(page).disabled
    assert page.query_params["schedule.milestones"] == "0.75"


def test_what_was_typed_wrongly_goes_with_the_settings_it_was_typed_into(lab: Open) -> None:
    page = lab(data="moons", **{"schedule.decay": "step"})
    page = field(page, "schedule.milestones").set_value("half").run()
    page = button(page, "Reset to defaults")
    stands(page)
    assert not run(page).disabled


def test_an_odd_width_is_told_beside_its_field(lab: Open) -> None:
    page = lab(data="digits", source="mekd", method="mekd", access="probabilities")
    width = field(page, "source.width")
    assert (width.step, width.value) == (2, 128)
    page = width.set_value(33).run()
    assert any("multiple of 2" in item.value for item in page.error)
    assert field(page, "source.width").value == 33
    assert run(page).disabled
    assert not run(field(page, "source.width").set_value(34).run()).disabled


@pytest.mark.parametrize("key", ["data.points", "data.path", "seed"])
def test_a_link_with_nonsense_opens_the_form(lab: Open, key: str) -> None:
    data = {"data.points": "points", "data.path": "image_folder"}.get(key, "digits")
    stands(lab(data=data, **{key: "[[["}))


def test_the_black_box_keeps_what_was_typed_wrongly(lab: Open) -> None:
    page = lab("blackbox", service="http")
    page = field(page, "service.model").set_value("net").run()
    page = field(page, "service.mean").set_value("0.5;0.5").run()
    assert field(page, "service.mean").value == "0.5;0.5"
    assert run(page).disabled
    assert "0.5;0.5" in said(page)
    page = field(page, "service.mean").set_value("0").run()
    assert not page.error
    assert not run(page).disabled


def test_a_file_that_is_no_model_is_told_beside_its_field(lab: Open) -> None:
    page = lab("blackbox", service="onnx")
    page = page.file_uploader[0].set_value(("model.onnx", b"\x80\x04 no model", "application/octet-stream")).run()
    assert not page.exception
    assert page.error
    assert run(page).disabled
    page = field(page, "budget").set_value(500).run()
    assert page.error  # it is still there, and so is its sentence
    page = page.file_uploader[0].set_value([]).run()
    assert not page.error
