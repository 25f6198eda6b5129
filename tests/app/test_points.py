"""Points from shapes, from files and from the canvas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.points import SHAPES, advice, checked, parse_csv, to_csv
from kdcore.errors import BadInput
from kdcore.registry import DATA

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
    assert parse_csv(to_csv([list(row) for row in rows]).encode()) == expected


def test_classes_may_be_words() -> None:
    assert parse_csv(b"x,y,kind\n1,2,cat\n3,4,ant\n\n5,6,cat\n") == [[1, 2, 1], [3, 4, 0], [5, 6, 1]]


def test_ten_comes_after_two() -> None:
    assert [point[2] for point in parse_csv(b"0,0,10\n0,0,2\n0,0,1\n")] == [2, 1, 0]


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
    assert advice([]) == "Draw at least two classes, with 6 points each."
    assert advice(enough) == "Draw at least two classes, with 6 points each."
    assert advice([*enough, [1, 1, 1]]) == "Points of class 1: 1; draw at least 6."
    assert advice([*enough, *[[1, 1, 2]] * 6]) == "Points of class 1: 0; draw at least 6."
