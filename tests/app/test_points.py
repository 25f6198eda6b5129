"""Points from shapes, from files and from the canvas."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.forms.draw_points import SHAPES, advice, checked, parse_csv, to_csv
from kdcore.errors import BadInput
from kdcore.spec.registry import DATA

coordinate = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "Empty"])
def test_a_shape_is_data_that_can_be_learned_from(name: str) -> None:
    points = SHAPES[name]()
    assert advice(points) is None
    assert checked(points) == points
    shape, classes = DATA["points"].model_validate({"points": points}).signature()
    assert (shape, classes) == ((2,), len({point[2] for point in points}))
    assert all(abs(x) <= 1.5 and abs(y) <= 1.5 for x, y, _ in points)


@given(st.lists(st.tuples(coordinate, coordinate, st.integers(0, 3)), min_size=1, max_size=50))
def test_a_file_brings_back_what_was_saved(rows: list[tuple[float, float, int]]) -> None:
    names = sorted({label for _, _, label in rows})
    expected = [[x, y, names.index(label)] for x, y, label in rows]
    assert parse_csv(to_csv([list(row) for row in rows]).encode()).points == expected


def test_classes_may_be_words_and_keep_them() -> None:
    found = parse_csv(b"x,y,kind\n1,2,cat\n3,4,ant\n\n5,6,cat\n")
    assert found == ([[1, 2, 1], [3, 4, 0], [5, 6, 1]], ["ant", "cat"])
    assert parse_csv(to_csv(*found).encode()) == found
    enough = {"points": found.points * 6, "names": found.names}
    assert DATA["points"].model_validate(enough).load(Path()).classes == ("ant", "cat")


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ("10 2 1", ["1", "2", "10"]),
        ("a10 a9 b a", ["a", "a9", "a10", "b"]),
        ("b A a B 01 1 001", ["001", "01", "1", "A", "a", "B", "b"]),
        ("x" * 13 + "9 " + "x" * 13 + "10", ["x" * 13 + "9", "x" * 13 + "10"]),
        ("1.5 -1 ä 2", ["1.5", "2", "-1", "ä"]),
        ("5" + "0" * 39 + " 6", ["6", "5" + "0" * 39]),
    ],
)
def test_classes_stand_in_the_order_in_which_a_person_counts(labels: str, order: list[str]) -> None:
    words = labels.split()
    for turned in (words, words[::-1]):
        assert parse_csv("".join(f"0,0,{word}\n" for word in turned).encode()).names == order


def test_numbers_in_a_row_need_no_names() -> None:
    assert parse_csv(b"0,0,1\n0,0,0\n") == ([[0, 0, 1], [0, 0, 0]], [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds 0"),
        (b"x,y,class\n", "holds 0"),
        (b"1,2\n", "Point 1 of the file should read x,y,class, but reads '1,2'"),
        (b"1,2,a\n1,inf,a\n", "Point 2"),
        (b"1,2,\n", "Point 1"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        (b"0,0,0\n" * 5001, "holds 5001"),
        (b"".join(b"0,0,%d\n" % k for k in range(27)), "at most 26 classes, but this file has 27"),
        (b"0,0," + b"a" * 41, "up to 40 characters"),
        (b"0" * 1_000_001, "may hold 1 MB"),
    ],
)
def test_a_wrong_file_is_one_sentence(data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=r"^[^\n]*$") as caught:
        parse_csv(data)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "sent", ["points", [[1, 2]], [[0, 0, "a"]], [[0, float("nan"), 0]], [[0, 0, 0]] * 5001, {"a": 1}]
)
def test_the_canvas_is_not_trusted(sent: object) -> None:
    with pytest.raises(BadInput):
        checked(sent)


def test_advice_names_the_class_that_is_short() -> None:
    enough = [[0.1 * k, 0.0, 0] for k in range(6)]
    assert advice([]) == "Draw at least two classes with at least 6 points each."
    assert advice(enough) == "Draw at least two classes with at least 6 points each."
    assert advice([*enough, [1, 1, 1]], ["ant", "cat"]) == "Points of class cat: 1; draw at least 6."
    assert advice([*enough, [1, 1, 1]]) == "Points of class 1: 1; draw at least 6."
    assert advice([*enough, *[[1, 1, 2]] * 6]) == "Points of class 1: 0; draw at least 6."
