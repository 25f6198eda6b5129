"""Every panel over a matrix of runs: what it draws is a valid figure, what it lacks is a sentence."""

import json
import zlib
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from record_factory import Run, fresh, record

from app import theme
from app.panels import Panel, View, panel, panels
from app.panels._figure import plain
from app.panels._png import png_url
from kdcore.errors import BadInput
from kdcore.runs.record import Record


def spoilt(seen: Record, value: float) -> Record:
    """The same run after its student diverged."""
    lost = np.full_like(seen.frame["student_logits"], value)
    frame = {**seen.frame, "student_logits": lost, "gradient_norms": np.full(2, value)}
    lost_own = {
        name: np.full_like(seen.frame[name], value)
        for name in seen.frame
        if name.startswith(("own_", "student_")) or name.endswith("_logits")
    }
    return replace(
        seen, frame=frame | lost_own | {"gradient_cosines": np.full((2, 2), value), "cka": np.full((3, 2), value)}
    )


def unasked(seen: Record) -> Record:
    """The same run where looks at its teacher were used up."""
    asked = {"made_logits", "inverse_teacher_logits", "inverse_student_logits", "cells_teacher", "cells_student"}
    frame = {name: array for name, array in seen.frame.items() if name not in asked}
    frames = tuple(one.model_copy(update={"notes": {"frechet": one.notes["frechet"]}}) for one in seen.frames)
    return replace(seen, frame=frame, frames=frames)


RECORDS = {
    "fresh": fresh(),
    "one step": replace(fresh(), steps=record().steps[:1]),
    "one row": record(Run(rows=1)),
    "two classes": record(Run(classes=2)),
    "hundred classes": record(Run(classes=100, rows=300)),
    "no teacher": record(Run(teacher=False)),
    "no teacher, hundred classes": record(Run(teacher=False, classes=100)),
    "plane": record(Run(plane=20)),
    "plane, no teacher": record(Run(plane=20, teacher=False)),
    "colour": record(Run(channels=3)),
    "NaN loss": record(Run(value=float("nan"))),
    "infinite loss": record(Run(value=float("inf"))),
    "huge logits": record(Run(huge=1e36)),
    "NaN logits": spoilt(record(Run(telling=True)), float("nan")),
    "infinite logits": spoilt(record(Run(telling=True)), float("inf")),
    "no gradients": replace(record(), frame={k: v for k, v in record().frame.items() if "gradient" not in k}),
    "telling": record(Run(telling=True)),
    "telling, no teacher": record(Run(telling=True, teacher=False)),
    "telling, hundred classes": record(Run(telling=True, classes=100, rows=300)),
    "telling, two classes, plane": record(Run(telling=True, classes=2, plane=20)),
    "telling, one row": record(Run(telling=True, rows=1)),
    "telling, huge logits": record(Run(telling=True, huge=1e36)),
    "making": record(Run(making=True)),
    "playing": record(Run(making=True, playing=True)),
    "making, labels": record(Run(making=True, access="labels")),
    "making, colour, two classes, one row": record(Run(making=True, channels=3, classes=2, rows=1)),
    "making, hundred classes": record(Run(making=True, classes=100, rows=300)),
    "making, no looks": unasked(record(Run(making=True))),
    "making, NaN logits": spoilt(record(Run(making=True)), float("nan")),
    "making, one frame": replace(record(Run(making=True)), frames=record(Run(making=True)).frames[:1]),
    "making, nothing said": replace(record(Run(making=True)), started=None, steps=(), evaluations=(), frames=()),
    "nothing said": replace(record(), started=None, steps=(), evaluations=(), changes=()),
}
CASES = list(product(panels(), RECORDS))


@pytest.mark.parametrize(("name", "run"), CASES)
@pytest.mark.parametrize("look", ["light", "dark"])
def test_it_draws_or_says_what_it_lacks(name: str, run: str, look: Any) -> None:
    drawn, seen, view = panel(name), RECORDS[run], View(theme=look, sample=2)
    missing = drawn.lacks(seen)
    if missing:
        assert missing.endswith(".")
        assert missing.count(". ") == 0
        return
    found = drawn.draw(seen, view)
    if drawn.kind == "field":
        assert isinstance(found, bytes)
        return
    assert json.loads(json.dumps(found, allow_nan=False)) == found  # what the browser gets is what was drawn
    if drawn.kind == "plotly":
        go.Figure(found)
        assert len({trace["uid"] for trace in found["data"]}) == len(found["data"])
        assert ("temperature" in found["layout"].get("meta", {})) == drawn.softened


@pytest.mark.parametrize(("name", "run"), CASES)
def test_its_table_has_columns_of_one_length(name: str, run: str) -> None:
    seen = RECORDS[run]
    if panel(name).lacks(seen) is None:
        columns = panel(name).table(seen, View())
        assert len({len(column) for column in columns.values()}) == 1
        assert all(isinstance(column, list) for column in columns.values())


OWN = {"target", "temperatures", "stones", "notes"}
COMPARED = {"confusion", "tug", "fidelity", "kl_parts", "affinity", "cka", "attention"}
EVERY = {"loss", "accuracy", "logits", "field", "reliability", "standardised", "samples"}
MADE = {"made", "inversions", "cells", "coverage", "answers", "copies", "pull", "meter"}
EXPECTED_LACKS = {
    "fresh": EVERY | COMPARED | OWN | MADE,
    "no teacher": {"field"} | COMPARED | OWN | MADE,
    "plane": {"attention"} | OWN | MADE,
    "plane, no teacher": COMPARED | OWN | MADE,
    "hundred classes": {"field"} | OWN | MADE,
    "NaN logits": {"field"} | MADE,
    "telling": {"field"} | MADE,
    "telling, no teacher": {"field"} | COMPARED | MADE,
    "making": {"field"} | OWN,
    "making, no looks": {"field", "cells", "answers"} | OWN,
    "making, nothing said": {"field", "loss", "accuracy", "kl_parts", "coverage", "answers", "meter"} | OWN,
}


@pytest.mark.parametrize("run", EXPECTED_LACKS)
def test_only_what_cannot_be_drawn_is_lacking(run: str) -> None:
    assert {name for name, each in panels().items() if each.lacks(RECORDS[run])} == EXPECTED_LACKS[run]


def suited(run: str) -> set[str]:
    return {name for name, each in panels().items() if each.suits(RECORDS[run])}


def test_panels_that_have_nothing_to_say_of_a_run_are_left_out() -> None:
    scaled = {"standardised"}
    assert suited("plane") == EVERY - scaled | COMPARED - {"attention"}
    assert suited("one row") == EVERY - scaled | COMPARED
    assert suited("no teacher") == EVERY - scaled
    assert suited("telling") == EVERY - scaled | COMPARED | OWN
    assert suited("telling, no teacher") == EVERY - scaled | OWN
    assert suited("fresh") == EVERY - scaled | COMPARED - {"cka", "attention"}
    assert suited("making") == EVERY - scaled | COMPARED | MADE
    walled = RECORDS["plane"].spec.model_copy(update={"wall": RECORDS["making"].spec.wall})
    assert panel("meter").suits(replace(RECORDS["plane"], spec=walled))


def test_scales_are_shown_where_a_method_takes_them_out() -> None:
    seen, scaled = RECORDS["plane"], panel("standardised")
    knobs = dict(seen.spec.method.knobs)
    for wish in (True, False):
        method = seen.spec.method.model_copy(update={"knobs": knobs | {"standardise": wish}})
        assert scaled.suits(replace(seen, spec=seen.spec.model_copy(update={"method": method}))) == wish


@pytest.mark.parametrize("each", panels().values(), ids=panels())
def test_captions_read_and_places_differ(each: Panel) -> None:
    assert each.caption.endswith(".")
    assert 40 < len(each.caption) < 120
    assert sum(other.order == each.order for other in panels().values()) == 1


def test_a_misspelt_panel_gets_a_hint() -> None:
    with pytest.raises(BadInput, match="'confusion'"):
        panel("confuson")


def figure(name: str, run: str, **view: Any) -> dict[str, Any]:
    found = panel(name).draw(RECORDS[run], View(**view))
    assert isinstance(found, dict)
    return found


def traces(drawn: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["uid"]: trace for trace in drawn["data"]}


def test_teacher_and_student_have_their_colours_everywhere() -> None:
    for look in ("light", "dark"):
        lines = traces(figure("accuracy", "plane", theme=look))
        assert lines["teacher"]["line"]["color"] == theme.TEACHER[look]
        assert lines["student"]["line"]["color"] == theme.STUDENT[look]
        bars = traces(figure("logits", "plane", theme=look))
        assert bars["teacher logit"]["marker"]["color"] == theme.TEACHER[look]
        assert bars["student logit"]["marker"]["color"] == theme.STUDENT[look]


def test_raw_terms_are_dotted_and_changes_are_marked() -> None:
    drawn = figure("loss", "plane")
    assert traces(drawn)["kd, unweighted"]["line"]["dash"] == "dot"
    (mark,), (text,) = drawn["layout"]["shapes"], drawn["layout"]["annotations"]
    assert (mark["x0"], text["x"], text["text"]) == (5, 5, "lr 0.1 → 0.05")
    assert drawn["layout"]["yaxis"]["type"] == "log"


def test_a_broken_loss_is_a_gap_and_a_sentence() -> None:
    drawn = figure("loss", "NaN loss")
    assert set(traces(drawn)["total"]["y"]) == {None}
    assert "step 1 on" in drawn["layout"]["annotations"][-1]["text"]


def test_the_slider_softens_and_the_distance_follows() -> None:
    sharp, soft = (figure("logits", "plane", temperature=t) for t in (1.0, 20.0))
    height = [max(traces(drawn)["teacher probability"]["y"]) for drawn in (sharp, soft)]
    assert height[0] > height[1]
    assert "τ = 20 (training 4) · KL" in soft["layout"]["annotations"][0]["text"]


def test_few_classes_have_numbers_and_many_have_none() -> None:
    assert "text" in traces(figure("confusion", "two classes"))["difference"]
    assert "text" not in traces(figure("confusion", "hundred classes"))["difference"]


def test_a_cell_says_how_often_both_answered_so() -> None:
    seen, said = RECORDS["two classes"], traces(figure("confusion", "two classes"))["difference"]["hovertext"]
    truth, student = seen.static["probe_labels"], seen.frame["student_logits"].argmax(1)
    assert f"student {((truth == 0) & (student == 1)).sum()}," in said[0][1]
    empty = [text for row in traces(figure("confusion", "hundred classes"))["difference"]["hovertext"] for text in row]
    assert "" in empty


def test_axes_name_a_readable_share_of_many_classes() -> None:
    axis = figure("confusion", "hundred classes")["layout"]["xaxis"]
    assert axis["tickvals"] == list(range(0, 100, 8))
    assert axis["ticktext"][1] == "class 8"


def test_points_stand_for_images_in_a_plane() -> None:
    items = figure("samples", "plane")["items"]
    x = RECORDS["plane"].static["probe_x"][items[0]["sample"]]
    assert items[0]["image"] is None
    assert items[0]["point"] == f"({x[0]:.2g}, {x[1]:.2g})"


@pytest.mark.parametrize(("run", "mode"), [("two classes", "L"), ("colour", "RGB")])
def test_thumbnails_are_the_pixels(run: str, mode: str) -> None:
    for item in figure("samples", run)["items"][:5]:
        image = Image.open(BytesIO(b64decode(item["image"].split(",")[1])))
        pixels = RECORDS[run].static["probe_x"][item["sample"]].transpose(1, 2, 0)
        assert image.mode == mode
        assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_large_pictures_become_small_ones() -> None:
    image = Image.open(BytesIO(b64decode(png_url(np.zeros((3, 224, 160), np.uint8)).split(",")[1])))
    assert image.size == (40, 56)


def test_numbers_are_short_and_finite() -> None:
    assert plain(np.array([[1 / 3, np.nan], [np.inf, 123456.789]])) == [[0.33333, None], [None, 123460.0]]
    assert plain(np.array([1, 2], dtype=np.uint8)) == [1, 2]
    assert plain([]) == []


def test_a_hundred_classes_stay_a_small_message() -> None:
    for name in panels():
        if panel(name).kind == "plotly":
            run = "making, hundred classes" if name in MADE else "telling, hundred classes"
            drawn = json.dumps(figure(name, run)).encode()
            assert len(zlib.compress(drawn, 1)) < 60_000, name


def test_a_repaired_sample_is_shown_where_the_chosen_one_is_left_alone() -> None:
    seen = RECORDS["telling"]
    p = np.exp(seen.static["teacher_logits"] - seen.static["teacher_logits"].max(1, keepdims=True))
    target = p / p.sum(1, keepdims=True)
    target[7] = np.roll(target[7], 1)
    drawn = panel("target").draw(replace(seen, frame={**seen.frame, "own_target": target}), View(sample=2))
    assert isinstance(drawn, dict)
    which, counts = (text["text"] for text in drawn["layout"]["annotations"])
    assert which == "sample 7, changed most"
    assert counts.endswith("changed 1")
    assert traces(drawn)["target"]["y"] == plain(target[7])


def test_notes_of_another_unit_have_an_axis_of_their_own() -> None:
    drawn = figure("notes", "telling")
    assert traces(drawn)["peer_loss"]["yaxis"] == "y2"
    assert "yaxis" not in traces(drawn)["share"]
    assert traces(drawn)["peer_loss"]["name"] == "peer loss"


def test_paths_stand_between_student_and_teacher() -> None:
    drawn = figure("stones", "telling")
    assert traces(drawn)["accuracy"]["x"] == [0, 1, 2, 3]
    assert "teacher" in drawn["layout"]["xaxis"]["ticktext"][-1]
    assert len(traces(drawn)["agreement with the teacher"]["y"]) == 3
    assert set(traces(figure("stones", "telling, no teacher"))) == {"accuracy"}


def test_kinship_follows_the_slider() -> None:
    sharp, soft = (figure("affinity", "plane", temperature=t) for t in (0.5, 20.0))
    spread = [np.ptp(np.array(traces(drawn)["map 1"]["z"])) for drawn in (sharp, soft)]
    assert spread[0] > spread[1]


def test_maps_lie_over_their_images() -> None:
    images = figure("attention", "one row")["layout"]["images"]
    assert [(image["x"], image["y"]) for image in images] == [(0.5, y) for y in (0.5, 1.5, 2.5, 1.5, 2.5)]
    veil = np.asarray(Image.open(BytesIO(b64decode(images[-1]["source"].split(",")[1]))))
    assert veil.shape == (4, 4, 4)
    assert veil[..., 3].max() == 175
    assert {tuple(pixel[:3]) for pixel in veil.reshape(-1, 4)} == {(0xF5, 0xA1, 0x42)}


def test_small_pixels_stay_squares_where_the_browser_would_blur_them() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    image = np.asarray(Image.open(BytesIO(b64decode(png_url(pixels, enlarge=True).split(",")[1]))))
    assert np.array_equal(image, pixels[0].repeat(8, 0).repeat(8, 1))


def said(drawn: dict[str, Any]) -> str:
    return " ".join(text["text"] for text in drawn["layout"]["annotations"])


def test_each_made_image_has_the_teacher_s_word_below() -> None:
    drawn = figure("made", "making")
    logits = RECORDS["making"].frame["made_logits"]
    share = np.exp(logits[0]).max() / np.exp(logits[0]).sum()
    assert traces(drawn)["said"]["text"][0] == f"class {logits[0].argmax()} {share:.0%}"
    assert f"class {logits[0].argmax()}, confidence {share:.1%}" in traces(drawn)["spots"]["hovertext"][0]
    assert len(drawn["layout"]["images"]) == 36 + 12
    assert all("%" not in text for text in traces(figure("made", "making, labels"))["said"]["text"])
    assert set(traces(figure("made", "making, no looks"))["said"]["text"]) == {""}


def test_cycle_accuracy_stands_beside_the_inversions() -> None:
    drawn = figure("inversions", "making")
    assert "cycle accuracy <b>13%</b> (chance 25%)" in said(drawn)
    assert len(drawn["layout"]["images"]) == 6 * 4
    assert "cycle accuracy <b>–</b>" in said(figure("inversions", "making, no looks"))


def test_what_the_source_learns_alone_is_dashed_and_the_student_s_beginning_is_marked() -> None:
    drawn = figure("loss", "making")
    assert traces(drawn)["generator"]["line"]["dash"] == "dash"
    assert traces(drawn)["total"]["y"][:6] == [None] * 6
    assert drawn["layout"]["shapes"][-1]["x0"] == 6
    accuracies = figure("accuracy", "making")
    assert "student, training" not in traces(accuracies)
    assert "<b>validation, step 8: 5.0 points behind</b>" in accuracies["layout"]["xaxis"]["title"]["text"]
    (line,) = accuracies["layout"]["shapes"]
    assert (line["x0"], line["name"], line["showlegend"]) == (6, "student starts", True)  # no word in the plane


def test_what_the_source_learns_beside_the_student_has_an_axis_of_its_own() -> None:
    drawn = figure("loss", "playing")
    game, balance = (traces(drawn)[f"source generator{part}"] for part in ("", "_balance"))
    assert (game["x"], game["y"]) == ([3, 6, 9, 12], [-1.0, -0.5, -0.33333, -0.25])
    assert (game["yaxis"], game["line"]["dash"], game["name"], balance["name"]) == (
        "y2", "dash", "generator", "generator balance",
    )  # fmt: skip
    assert game["line"]["color"] != balance["line"]["color"]
    assert drawn["layout"]["yaxis"]["domain"][0] > drawn["layout"]["yaxis2"]["domain"][1]
    assert "yaxis2" not in figure("loss", "making")["layout"]
    column = panel("loss").table(RECORDS["playing"], View())["source_generator"]
    assert column[2::3] == [-3 / step for step in (3, 6, 9, 12)]
    assert np.isnan(column).sum() == 8


def test_the_meter_tells_images_money_and_budget() -> None:
    drawn = figure("meter", "making")
    assert "<b>1,200</b> of 5,000 queries · <b>$1.20</b> ($1.00 per 1,000)" in said(drawn)
    assert "120 local images to learn from" in said(drawn)
    assert traces(drawn)["synthetic"]["y"][-1] == 1080
    assert set(traces(drawn)["budget"]["y"]) == {5000}
    assert traces(drawn)["up"]["y"][-1] == pytest.approx(0.0768)


def test_corners_in_another_cell_are_marked() -> None:
    seen = RECORDS["making"]
    alike = {**seen.frame, "cells_teacher": np.zeros((12, 12), int), "cells_student": np.zeros((12, 12), int)}
    drawn = panel("cells").draw(replace(seen, frame=alike), View())
    assert isinstance(drawn, dict)
    assert traces(drawn)["corners"]["marker"]["color"] == [theme.INK["light"], *[theme.DISAGREE["light"]] * 2]
    assert traces(drawn)["student"]["x"] == []
    assert "same class on <b>100%</b> · 1 of 3 corners" in said(drawn)
