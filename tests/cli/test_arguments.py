"""Words of a command line become the spec they mean, or one sentence on what is wrong."""

import json
from pathlib import Path

import pytest

from app.cli.arguments import assign, choice, wanted
from kdcore.blackbox.orders import Order, spec
from kdcore.errors import BadInput
from kdcore.spec.lineage import recommended
from kdcore.spec.spec import parse


def test_no_words_mean_the_recommendation() -> None:
    assert wanted(None, {}, []) == recommended()


def test_a_data_set_brings_its_own_recommendation() -> None:
    assert wanted(None, {"data": "moons"}, []) == recommended("moons")


def test_knobs_by_name_and_by_place() -> None:
    assert choice("method", "kd:temperature=2,kd_weight=0.5")["knobs"] == {
        "temperature": 2.0, "label_weight": 0.1, "kd_weight": 0.5,
    }  # fmt: skip
    assert choice("method", "kd:2")["knobs"]["temperature"] == 2.0
    assert choice("model", "resnet:8x4")["knobs"]["variant"] == "8x4"
    assert choice("model", "mlp:32")["knobs"]["width"] == 32
    assert choice("data", "moons:300")["knobs"]["samples"] == 300


def test_values_may_hold_commas_colons_and_equals_signs() -> None:
    named = choice("data", "image_folder:path=/a,b:c=d,side=28")
    assert (named["knobs"]["path"], named["knobs"]["side"]) == ("/a,b:c=d", 28)
    assert choice("data", "image_folder:path=8")["knobs"]["path"] == "8"


def test_changes_on_the_way() -> None:
    spec = wanted(None, {}, [], ["300:temperature=8", "9:schedule.lr=0.01"])
    assert [(one.step, one.path, one.value) for one in spec.changes] == [
        (9, "schedule.lr", 0.01), (300, "method.temperature", 8.0),
    ]  # fmt: skip
    assert wanted(None, {}, [], ["5:temperature=4"]) == recommended()  # which it is already


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("temperature=8", "takes step:path=value"),
        (f"{'9' * 5000}:temperature=8", "takes step:path=value, such as"),
        ("5:schedule.steps=8", "cannot be changed during a run"),
        ("5:temperature=-1", "temperature"),
    ],
)
def test_a_wrong_change_is_one_sentence(change: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        wanted(None, {}, [], [change])


def test_flags_land_where_they_belong() -> None:
    flags = {
        "data": "moons:noise=0.3",
        "method": "dkd",
        "teacher.student": "mlp:128",
        "student": "mlp:4",
        "seed": "7",
        "schedule.steps": "90",
        "schedule.lr": "0.02",
        "schedule.batch": "32",
        "device": "cpu",
        "access": "logits",
    }
    spec = wanted(None, flags, ["teacher.schedule.steps=50", "schedule.milestones=[0.5]", "source.augment=none"])
    assert spec.teacher
    assert (spec.seed, spec.teacher.seed) == (7, 0)
    assert (spec.schedule.steps, spec.schedule.lr, spec.schedule.batch) == (90, 0.02, 32)
    assert (spec.teacher.schedule.steps, spec.schedule.milestones) == (50, (0.5,))
    assert (spec.student.knobs["width"], spec.teacher.student.knobs["width"]) == (4, 128)
    assert (spec.method.name, spec.access) == ("dkd", "logits")
    assert (spec.device, spec.teacher.device) == ("cpu", "cpu")
    assert spec.data == spec.teacher.data
    assert spec.data.knobs["noise"] == 0.3


def test_a_preset_of_the_black_box_page_is_a_run() -> None:
    flags = {"preset": "paper:budget=500,share=0.2", "data": "digits", "access": "labels", "seed": "3"}
    found = wanted(None, flags | {"schedule.steps": "7"}, ["source.steps=9"])
    ordered = spec(Order(preset="paper", budget=500, share=0.2, access="labels", seed=3)).model_dump(mode="json")
    ordered["schedule"]["steps"], ordered["source"]["knobs"]["steps"] = 7, 9
    assert found == parse(ordered)
    with pytest.raises(BadInput, match="Did you mean 'budget'"):
        wanted(None, {"preset": "paper:buget=5"}, [])
    fewer = wanted(None, flags | {"data": "digits:train_fraction=0.2"}, [])
    assert fewer.data.knobs["train_fraction"] == 0.2
    assert fewer.wall == wanted(None, flags, []).wall
    with pytest.raises(BadInput, match="give one of them"):
        wanted("-", {"preset": "paper"}, [])


def test_a_teacher_that_is_a_service_and_its_wall() -> None:
    said = ["service=http:url=http://[::1]:85/x,model=net,answers=probabilities", "wall.budget=2000", "wall.digits=3"]
    asked = wanted(None, {"teacher": "none", "access": "probabilities"}, said)
    assert asked.service is not None
    assert asked.service.name == "http"
    assert (asked.service.knobs["url"], asked.service.knobs["model"]) == ("http://[::1]:85/x", "net")
    assert asked.wall is not None
    assert (asked.wall.budget, asked.wall.digits, asked.wall.price) == (2000, 3, 1.0)
    weights = ["service=weights:file=name,model=cnn", "service.model_knobs=width=4,depth=2"]
    told = wanted(None, {"teacher": "none", "access": "logits"}, weights)
    assert told.service is not None
    assert told.service.knobs["model_knobs"] == "width=4,depth=2"
    with pytest.raises(BadInput, match="needs a teacher"):
        wanted(None, {"teacher": "none"}, [*said, "service=none", "access=probabilities"])


def test_a_method_without_a_teacher() -> None:
    assert wanted(None, {"method": "ce", "teacher": "none"}, []).teacher is None


def test_a_file_is_the_start_and_flags_change_it(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(recommended("moons", seed=3).model_dump_json())
    assert wanted(str(file), {}, []) == recommended("moons", seed=3)
    assert wanted(str(file), {"seed": "4"}, []) == recommended("moons", seed=4)
    file.write_text(json.dumps({"id": "abc", "spec": recommended("moons", seed=3).model_dump(mode="json")}))
    assert wanted(str(file), {}, []) == recommended("moons", seed=3)


def test_settings_are_the_paths_that_differences_are_told_by() -> None:
    raw = recommended("moons").model_dump(mode="json")
    assign(raw, "teacher.data.noise", "0.4")
    assign(raw, "student.knobs.width", "32")
    assert (raw["teacher"]["data"]["knobs"]["noise"], raw["student"]["knobs"]["width"]) == (0.4, 32)


@pytest.mark.parametrize(
    ("flags", "settings", "sentence"),
    [
        ({"data": "moon"}, [], "no data set named 'moon'. Did you mean 'moons'"),
        ({"method": "kdd"}, [], "no method named 'kdd'. Did you mean 'kd'"),
        ({"student": "resnett"}, [], "no model named 'resnett'. Did you mean 'resnet'"),
        ({"method": "kd:temperatur=2"}, [], "no knob of 'kd' named 'temperatur'. Did you mean 'temperature'"),
        ({"method": "kd:temperature=0"}, [], "temperature — input should be greater than or equal to 0.1, but got 0"),
        ({"method": "kd:1,2"}, [], "'1,2'"),
        ({"data": "digits:3"}, [], "no knob of its own"),
        ({"teacher": "none"}, [], "needs a teacher"),
        ({"method": "fitnet", "access": "logits"}, [], "needs the teacher's features"),
        ({"access": "hard"}, [], "access — input should be 'white_box'"),
        ({"seed": "two"}, [], "seed — input should be a valid integer"),
        ({"schedule.lr": "nan"}, [], "lr — "),
        ({}, ["schedule.lrr=1"], "no setting in schedule named 'lrr'. Did you mean 'lr'"),
        ({}, ["sched.lr=1"], "no setting in the spec named 'sched'. Did you mean 'schedule'"),
        ({}, ["seed.x=1"], "set seed itself"),
        ({}, ["schedule.lr"], "--set takes path=value"),
        ({"teacher": "none", "method": "ce"}, ["teacher.seed=1"], "teacher is null"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_sentence(flags: dict[str, str], settings: list[str], sentence: str) -> None:
    with pytest.raises(BadInput) as error:
        wanted(None, flags, settings)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00", "is not text"),
        (b'{"student": ', "is not JSON"),
        (b"[1, 2]", "is a JSON object, but got list"),
        (b"{}", "student — field required"),
        (json.dumps({"version": 99}).encode(), "version 99"),
        (json.dumps({"student": {"name": "mlp"}, "wings": 2}).encode(), "no setting 'wings'"),
    ],
)
def test_a_damaged_spec_file(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "spec.json"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        wanted(str(file), {}, [])


def test_a_spec_file_that_is_not_there(tmp_path: Path) -> None:
    for file in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            wanted(str(file), {}, [])
