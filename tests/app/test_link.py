"""Whatever the form holds comes back from its link, and whatever a link holds, the form opens."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.components.cli_command import command
from app.forms.fields import bounds, multiple
from app.links import lab
from app.links.lab import Link, changed, choose, complete, field_of, read, settings_of, spec_of, write
from app.panels import View
from kdcore.errors import BadInput
from kdcore.spec.lineage import recommended
from kdcore.spec.registry import REGISTRIES

NAMES = {part: sorted(REGISTRIES[kind]) for part, kind in lab.KINDS.items()}
calm = hypothesis_settings(max_examples=60)


def values(info: Any) -> st.SearchStrategy[Any]:
    """Values that a field takes."""
    if get_origin(info.annotation) is Literal:
        return st.sampled_from(get_args(info.annotation))
    if info.annotation is bool:
        return st.booleans()
    low, high = bounds(info)
    if info.annotation is int:
        step = int(multiple(info) or 1)
        return st.integers(-(-int(low or 0) // step), int(high or 10**6) // step).map(lambda count: count * step)
    if info.annotation is float:
        ends = (low if low is not None else -1e6, high if high is not None else 1e6)
        above, below = (any(hasattr(rule, side) for rule in info.metadata) for side in ("gt", "lt"))
        return st.floats(*ends, exclude_min=above, exclude_max=below)
    if info.annotation is str:
        return st.text(max_size=30)
    return st.lists(st.floats(0, 1), max_size=6)


@st.composite
def anything(draw: st.DrawFn) -> dict[str, Any]:
    """A form in any state: names first, then some settings away from their defaults."""
    chosen = {part: draw(st.sampled_from(NAMES[part])) for part in lab.KINDS}
    if draw(st.booleans()):
        chosen["teacher"] = lab.NO_TEACHER
    form = complete(chosen)
    for key in draw(st.sets(st.sampled_from([key for key in form if key not in lab.KINDS]), max_size=12)):
        form[key] = draw(values(field_of(form, key)))
    return form


@given(anything(), st.none() | st.text("abcdefgh234567", min_size=10, max_size=10), st.data())
@calm
def test_settings_survive_their_link(form: dict[str, Any], run: str | None, data: st.DataObject) -> None:
    view = View(
        temperature=data.draw(st.floats(0.1, 50)),
        sample=data.draw(st.integers(0, 999)),
        at=data.draw(st.none() | st.integers(0, 10**6)),
    )
    shown = Link(form, run, view)
    text = urlencode(write(shown))
    assert len(text) < 2048
    again, complaints = read(dict(parse_qsl(text, keep_blank_values=True)))
    assert complaints == []
    assert again == shown


@given(anything())
@calm
def test_changes_and_recommendation_make_the_whole(form: dict[str, Any]) -> None:
    assert complete(changed(form)) == form


@given(
    st.dictionaries(
        st.text(max_size=20) | st.deferred(lambda: st.sampled_from(sorted(complete({})))),
        st.text(max_size=20),
        max_size=6,
    )
)
@calm
def test_no_link_breaks_the_form(query: dict[str, str]) -> None:
    shown, complaints = read(query)
    assert set(shown.settings) == set(complete({part: shown.settings[part] for part in lab.KINDS}))
    assert all(sentence.endswith("The default is used instead.") for sentence in complaints)
    again, silent = read(write(shown))
    assert (again, silent) == (shown, [])


@pytest.mark.parametrize("data", NAMES["data"])
@pytest.mark.parametrize("method", NAMES["method"])
def test_settings_and_spec_say_the_same(data: str, method: str) -> None:
    spec = recommended(data, method, seed=3, teacher_seed=5)
    assert spec_of(settings_of(spec)) == spec
    assert write(Link(settings_of(recommended(data, method)))).keys() <= {"data", "method"}


def test_a_form_leaves_a_start_out_and_a_command_line_needs_a_file_for_it() -> None:
    alone = recommended("digits")
    begun = alone.model_copy(update={"start": alone})
    assert spec_of(settings_of(begun)) == alone
    assert command(begun) is None
    assert "--data digits" in (command(alone) or "")


def test_a_slice_survives_form_and_link() -> None:
    form = choose(choose(complete({}), "source", "slice"), "source.rows", "3,7-12")
    assert spec_of(form).source.knobs["rows"] == "3,7-12"
    assert read(write(Link(form)))[0].settings == form


def test_a_plain_form_has_a_bare_link() -> None:
    assert write(Link(complete({}))) == {}


def test_a_link_says_only_what_differs() -> None:
    form = choose(choose(complete({}), "seed", 7), "student.width", 64)
    assert write(Link(form, "abcdefgh23", View(temperature=2.5))) == {
        "student.width": "64",
        "seed": "7",
        "run": "abcdefgh23",
        "temperature": "2.5",
    }


def test_another_data_set_brings_its_own_recommendation() -> None:
    form = choose(choose(choose(complete({}), "seed", 7), "student.width", 64), "method.temperature", 9.0)
    other = choose(form, "data", "moons")
    expected = settings_of(recommended("moons", "kd", method_knobs={"temperature": 9.0}, seed=7))
    assert other == expected


def test_another_model_brings_its_own_knobs() -> None:
    form = choose(complete({"student.width": 64}), "student", "cnn")
    assert form["student"] == "cnn"
    assert {key for key in form if key.startswith("student.")} == {"student.width"}
    assert form["student.width"] == complete({"student": "cnn"})["student.width"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"method": "kdd"}, "Did you mean 'kd'?"),
        ({"data": "mnits"}, "Did you mean 'mnist'?"),
        ({"student.widht": "8"}, "Did you mean 'student.width'?"),
        ({"student.width": "9"}, "is one of 4, 8, 16"),
        ({"seed": "minus"}, "valid integer, but got 'minus'"),
        ({"seed": "-4"}, "greater than or equal to 0"),
        ({"schedule.milestones": "half"}, "a list such as 0.5,0.75"),
        ({"schedule.lr": "nan"}, "but got 'nan'"),
        ({"temperature": "hot"}, "valid number"),
        ({"at": "-1"}, "greater than or equal to 0"),
        ({"form": "../../secret"}, "keeps no settings"),
        ({"form": "0123456789abcdef"}, "keeps no settings"),
        ({"weather": "fine"}, "no setting named 'weather'"),
    ],
)
def test_a_wrong_link_gets_one_sentence_and_the_default(query: dict[str, str], said: str) -> None:
    shown, complaints = read(query)
    assert shown == Link(complete({}))
    assert len(complaints) == 1
    assert said in complaints[0]


def test_long_settings_are_kept_on_the_server() -> None:
    form = complete({"data": "points"})
    form["data.points"] = [[round(k / 7, 3), round(-k / 3, 3), k % 3] for k in range(5000)]
    query = write(Link(form, "abcdefgh23"))
    assert query.keys() == {"form", "run"}
    assert read(query) == (Link(form, "abcdefgh23"), [])


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "links").write_text("a file where a folder should be")
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="too long for a link"):
        lab.keep({"a": "b"})


@pytest.mark.parametrize("source", ["knockoff", "activemix", "mekd"])
def test_a_teacher_sees_all_of_its_data_whatever_its_student_is_shown(source: str) -> None:
    asked = spec_of(complete({"source": source, "method": "kd"}))
    assert asked.source.name == source
    assert asked.teacher is not None
    assert asked.teacher.source.name == "data"
