"""A spec is checked where it is made, and its hash is the run's identity."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from kdcore.errors import BadInput
from kdcore.spec.checks import check
from kdcore.spec.lineage import recommended
from kdcore.spec.registry import DATA, METHODS
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import SETTABLE, Change, Choice, Spec, Wall, Watch, canonical, change, parse

TEACHER: dict[str, Any] = {"student": {"name": "cnn"}, "method": {"name": "ce"}}
STUDENT: dict[str, Any] = {"student": {"name": "mlp"}, "method": {"name": "kd"}, "teacher": TEACHER}


def test_the_hash_knows_meaning_and_not_spelling() -> None:
    plain = parse(STUDENT)
    spelled = {
        "method": {"knobs": {"kd_weight": 0.9, "temperature": 4}, "name": "kd"},
        "teacher": {**TEACHER, "seed": 0, "data": {"name": "digits"}},
        "student": {"knobs": {"depth": 2, "width": 64}, "name": "mlp"},
        "version": 1,
    }
    assert parse(spelled) == plain
    assert parse(spelled).hash == plain.hash
    assert parse(json.dumps(spelled)).hash == plain.hash
    assert parse(plain.model_dump_json()).hash == plain.hash
    assert parse(canonical(plain)).hash == plain.hash


def test_the_hash_is_the_same_in_every_process() -> None:
    found = parse({"student": {"name": "mlp"}, "method": {"name": "ce"}, "data": {"name": "moons"}}).hash
    assert len(found) == 16
    assert set(found) <= set("0123456789abcdef")
    assert found == parse({"data": {"name": "moons"}, "method": {"name": "ce"}, "student": {"name": "mlp"}}).hash


def test_fields_that_came_later_leave_older_hashes_alone() -> None:
    plain = parse({"student": {"name": "mlp"}, "method": {"name": "ce"}, "data": {"name": "moons"}})
    assert plain.hash == "23b9925c4be9c200"
    pooled = parse({**STUDENT, "source": {"name": "activemix", "knobs": {"start": 0}}})
    assert pooled.hash == "271bdfc086a9ded8"  # a knob has the name of such a field
    assert '"start":0' in canonical(pooled)


START: dict[str, Any] = {"student": {"name": "mlp"}, "method": {"name": "ce"}}


def test_a_student_may_start_from_a_run() -> None:
    begun, alone = parse({**STUDENT, "start": START}), parse(STUDENT)
    assert begun.hash != alone.hash
    assert begun.hash != parse({**STUDENT, "start": {**START, "seed": 1}}).hash
    assert parse(begun.model_dump_json()) == begun
    check(begun)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({"student": {"name": "cnn"}}, r"starts from a run of 'cnn' \(width 16\), but is 'mlp'"),
        ({"student": {"name": "mlp", "knobs": {"width": 32}}}, r"starts from a run of 'mlp' .*32.*, but is 'mlp' .*64"),
        ({"data": {"name": "moons"}}, r"^The start was trained on 'moons' .* must agree on the data set"),
        ({"data": {"name": "digits", "knobs": {"seed": 3}}}, r"^The start's data have seed 3, the student's 0; make"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(start: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check(parse({**STUDENT, "start": {**START, **start}}))


def test_watching_changes_no_hash_at_any_depth() -> None:
    watched = {**STUDENT, "watch": {"points": 7}, "teacher": {**TEACHER, "watch": {"frames": 3}}}
    assert parse(watched).hash == parse(STUDENT).hash
    assert parse(watched) != parse(STUDENT)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"student": {"name": "cnn"}},
        {"student": {"name": "mlp", "knobs": {"width": 8}}},
        {"method": {"name": "kd", "knobs": {"temperature": 2.0}}},
        {"method": {"name": "dkd"}},
        {"schedule": {"lr": 0.1}},
        {"access": "logits"},
        {"source": {"name": "data", "knobs": {"augment": "shift"}}},
        {"teacher": {**TEACHER, "seed": 1}},
    ],
)
def test_everything_else_changes_the_hash(other: dict[str, Any]) -> None:
    assert parse({**STUDENT, **other}).hash != parse(STUDENT).hash


def test_a_spec_cannot_be_changed() -> None:
    spec = parse(STUDENT)
    with pytest.raises(ValidationError, match="frozen"):
        spec.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"student": {"name": "mpl"}}, r"There is no model named 'mpl'\. Did you mean 'mlp'\?"),
        ({"method": {"name": "kdd"}}, r"There is no method named 'kdd'\. Did you mean '[dk]+'\?"),
        ({"data": {"name": "digit"}}, r"There is no data set named 'digit'\. Did you mean 'digits'\?"),
        ({"source": {"name": "dta"}}, r"There is no source named 'dta'\. Did you mean 'data'\?"),
        ({"method": {"name": "kd", "knobs": {"temprature": 1}}}, r"Did you mean 'temperature'\?"),
        (
            {"method": {"name": "kd", "knobs": {"temperature": 1e9}}},
            r"less than or equal to 100, but got 1000000000\.0",
        ),
        ({"schedule": {"steps": 0}}, r"schedule\.steps .* greater than or equal to 1, but got 0"),
        ({"schedule": {"lr": float("inf")}}, r"schedule\.lr .* but got inf"),
        ({"schedule": {"optimizer": "sdg"}}, r"schedule\.optimizer .*'sgd', 'adam' or 'adamw', but got 'sdg'"),
        ({"schedule": {"speed": 1}}, r"no setting 'schedule\.speed'"),
        ({"colour": "red"}, r"no setting 'colour'"),
        ({"seed": -1}, r"seed .* but got -1"),
        ({"seed": 2.5}, r"seed .* but got 2\.5"),
        ({"access": "all"}, r"access .* but got 'all'"),
        ({"version": 2}, r"version 2, but this KD Lab reads up to version 1; update KD Lab"),
        ({"version": 0}, r"version .* but got 0"),
        ({"teacher": {"student": {"name": "cn"}}}, r"named 'cn'\. Did you mean 'cnn'\?"),
        ({"teacher": None}, r"Method 'kd' needs a teacher; add one"),
        (
            {"method": {"name": "fitnet"}, "access": "logits"},
            r"needs the teacher's features, but access 'logits' grants",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        parse({**STUDENT, **wrong})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 5000 + "]" * 5000, "not JSON: it is nested"),
        ("[1]", "a JSON object, but got list"),
        ("", "not JSON"),
        ("{}", "student"),
    ],
)
def test_what_is_no_spec_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"data": {"name": "moons"}}, r"trained on 'digits' \(shape 1x8x8, 10 classes\), but the student on 'moons'"),
        ({"data": {"name": "digits", "knobs": {"seed": 1}}}, r"teacher's data have seed 0, the student's 1; make them"),
        ({"data": {"name": "digits", "knobs": {"validation": 0.2}}}, r"have validation 0\.1, the student's 0\.2"),
        ({"student": {"name": "lenet"}}, r"The student 'lenet' cannot read inputs of shape 1x8x8.*what can: cnn, mlp"),
        ({"teacher": {**TEACHER, "student": {"name": "lenet"}}}, r"The teacher 'lenet' cannot read inputs"),
    ],
)
def test_what_only_a_start_can_know_is_checked_before_it(other: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        check(parse({**STUDENT, **other}))


def test_behind_a_wall_a_teacher_may_know_other_data_of_the_same_shape() -> None:
    moons, circles = ({"name": name} for name in ("moons", "circles"))
    teacher = {"data": moons, "student": {"name": "mlp"}, "method": {"name": "ce"}}
    asked = {"data": circles, "student": {"name": "mlp"}, "teacher": teacher, "access": "probabilities", "wall": {}}
    check(parse(asked))
    with pytest.raises(BadInput, match="must agree on the data set"):
        check(parse({**asked, "access": "white_box", "wall": None}))
    with pytest.raises(BadInput, match="must agree on shape and number of classes"):
        check(parse({**asked, "data": {"name": "blobs"}}))


@pytest.mark.parametrize(
    "knobs",
    [{"label_noise": 0.3}, {"label_fraction": 0.1}, {"train_fraction": 0.5}],
    ids=lambda knobs: next(iter(knobs)),
)
def test_a_student_may_see_other_labels_than_its_teacher(knobs: dict[str, Any]) -> None:
    check(parse({**STUDENT, "data": {"name": "digits", "knobs": knobs}}))


BARE = {"name": "digits", "knobs": {"label_fraction": 0.0}}


def test_a_student_without_labels_has_its_teacher() -> None:
    check(parse({**STUDENT, "data": BARE}))


@pytest.mark.parametrize("other", [{"method": {"name": "ce"}}, {"teacher": {**TEACHER, "data": BARE}}])
def test_without_labels_and_without_a_teacher_nothing_is_learned(other: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"Method 'ce' learns from labels alone, but label_fraction 0 hides them all"):
        check(parse({**STUDENT, "data": BARE, **other}))


@pytest.mark.parametrize("data", list(DATA))
def test_a_recommended_run_is_complete(data: str) -> None:
    spec = recommended(data)
    assert spec.teacher is not None
    assert spec.data == spec.teacher.data
    assert (spec.method.name, spec.teacher.method.name) == ("kd", "ce")
    assert parse(spec.model_dump_json()) == spec
    if data != "image_folder":
        check(spec)


def test_a_folder_of_images_must_be_named_before_the_run() -> None:
    with pytest.raises(BadInput, match=r"needs the path of a folder"):
        check(recommended("image_folder"))


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_can_be_recommended(method: str) -> None:
    assert recommended("digits", method, seed=3, teacher_seed=4).method.name == method


def test_recommended_settings_reach_their_places() -> None:
    spec = recommended("moons", "dkd", data_knobs={"label_noise": 0.2}, method_knobs={"beta": 2.0}, seed=5)
    assert spec.data.knobs["label_noise"] == 0.2
    assert spec.method.knobs["beta"] == 2.0
    assert spec.seed == 5


def test_a_setting_changes_during_a_run() -> None:
    spec = parse(STUDENT)
    assert change(spec, "schedule.lr", 0.2).schedule.lr == 0.2
    hotter = change(spec, "method.temperature", 8.0)
    assert hotter.method.knobs["temperature"] == 8.0
    assert spec.method.knobs["temperature"] == 4.0
    assert hotter.hash != spec.hash


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schedule.steps", 5, rf"'schedule\.steps' cannot be changed during a run; what can: {', '.join(SETTABLE)}"),
        ("method.width", 5, "cannot be changed"),
        ("", 5, "cannot be changed"),
        ("method.temperature", 0.0, "greater than or equal to"),
        ("schedule.lr", -1.0, "greater than 0"),
    ],
)
def test_a_change_that_may_not_be_is_refused(path: str, value: float, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        change(parse(STUDENT), path, value)


def test_defaults_stand_within_their_bounds() -> None:
    assert Schedule.model_validate(Schedule().model_dump()) == Schedule()
    assert Watch.model_validate(Watch().model_dump()) == Watch()
    assert Spec(student=Choice(name="mlp"), method=Choice(name="ce")).data.name == "digits"


def behind_a_server(**wall: object) -> dict[str, object]:
    service = {"name": "http", "knobs": {"model": "m"}}
    return {"student": {"name": "cnn"}, "service": service, "access": "probabilities", "wall": wall}


def test_permission_to_measure_is_part_of_a_run_only_where_it_is_given() -> None:
    before, given = parse(behind_a_server()), parse(behind_a_server(measure="real"))
    assert "measure" not in json.loads(canonical(before))["wall"], "so that older runs keep their hash"
    assert parse(behind_a_server(measure="nothing")).hash == before.hash != given.hash
    assert json.loads(canonical(given))["wall"]["measure"] == "real"
    assert parse(canonical(before)) == before


def test_a_teacher_on_this_machine_needs_no_permission() -> None:
    ours = {"student": {"name": "cnn"}, "service": {"name": "onnx", "knobs": {"file": "f"}}, "access": "labels"}
    assert not parse(ours | {"method": {"name": "hard_label"}}).remote
    with pytest.raises(BadInput, match="Only a remote teacher"):
        parse(ours | {"method": {"name": "hard_label"}, "wall": {"measure": "real"}})


def test_text_that_cannot_be_written_down_is_refused_before_anything_begins() -> None:
    with pytest.raises(ValueError, match="holds text that is not UTF-8; rename"):
        Choice(name="image_folder", knobs={"path": "/tmp/img\udcff"})
    with pytest.raises(ValueError, match="holds text that is not UTF-8; rename"):
        Change(step=1, path="method.temperature", value="\udcff")
    with pytest.raises(BadInput, match=r"^Choice.* holds text that is not UTF-8; rename"):
        parse({**recommended("digits").model_dump(mode="json"), "data": {"name": "digits\udcff"}})


def test_validation_leaves_a_frozen_spec_as_it_is() -> None:
    """What is missing is filled in in a new object, also where the one given is a spec already."""
    service = Choice(name="onnx", knobs={"file": "0" * 16 + ".onnx"})
    changes = (Change(step=3, path="schedule.lr", value=0.2), Change(step=1, path="schedule.lr", value=0.1))
    whole = parse({"student": {"name": "mlp"}, "method": {"name": "kd"}, "service": service, "access": "logits"})
    assert whole.wall == Wall()
    copied = whole.model_copy(update={"student": Choice(name="mlp"), "wall": None, "changes": changes})
    before = dict(vars(copied))
    full = Spec.model_validate(copied)
    assert vars(copied) == before
    assert full.model_copy(update={"changes": ()}) == whole
    assert full.changes == changes[::-1]
