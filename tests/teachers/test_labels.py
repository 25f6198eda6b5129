"""Class numbers: what counts as one, which of several outputs is read, and what comes of numbers that are none."""

import numpy as np
import pytest

from kdcore.errors import BadInput
from kdcore.teachers._labels import Output, are_numbers, check_grade, one_hot, telling

LABEL: Output = ("i", (None,))
COLUMN: Output = ("u", (2, 1))
ROWS: Output = ("f", (None, 3))


@pytest.mark.parametrize(
    ("kind", "shape", "classes", "found"),
    [
        ("i", (5,), 3, True),
        ("u", (None,), 3, True),
        ("i", (5, 1), 3, True),
        ("i", (5, 3), 3, False),
        ("i", (5, None), 3, False),
        ("i", (), 3, False),
        ("i", (5, 1, 1), 3, False),
        ("f", (5,), 3, False),
        ("f", (5, 1), 3, False),
        ("", (5,), 3, False),
        ("b", (5,), 3, False),
        ("i", (5,), 1, True),
        ("i", (5, 1), 1, False),  # a row of a single class, as ever
    ],
)
def test_what_counts_as_class_numbers(kind: str, shape: tuple[int | None, ...], classes: int, found: bool) -> None:
    assert are_numbers(kind, shape, classes) == found


@pytest.mark.parametrize(
    ("outputs", "place"),
    [
        ([ROWS, LABEL], 0),
        ([LABEL, ROWS], 1),
        ([COLUMN, ("f", (2, 3))], 1),
        ([LABEL, ("f", (None, 512)), ROWS], 2),
        ([("f", (None, 512)), ROWS], 1),
        ([("i", (None, 3)), ROWS], 1),
        ([LABEL, ("f", (None, 512))], 0),
        ([LABEL, ("i", (None, 3))], 0),
        ([("O", (None,)), LABEL], 1),
        ([("O", (None,)), LABEL, ROWS], 2),
        ([("f", (None,)), ("f", (None, None))], 1),
        ([("O", ()), ("b", (2,))], 0),
        ([("", ()), ROWS], 1),
        ([("", ()), ("f", (None, 512))], 0),
        ([("f", (None, 512)), ("f", (None, 3, 1, 1))], 1),
    ],
)
def test_which_output_counts(outputs: list[Output], place: int) -> None:
    assert telling(outputs, 3) == place


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_class_numbers_become_rows(dtype: str, shape: tuple[int, ...]) -> None:
    told = one_hot(np.array([2, 0, 1, 2], dtype).reshape(shape), 3)
    assert told.logits.dtype == np.float32
    assert told.logits.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert told.strange == ""


@pytest.mark.parametrize(("numbers", "said"), [([2, 3, -1], "class 3, "), ([0, -1, 3], "class -1, ")])
def test_a_number_of_no_class_spoils_its_own_row(numbers: list[int], said: str) -> None:
    told = one_hot(np.array(numbers), 3)
    assert np.isnan(told.logits).all(1).tolist() == [False, True, True]
    assert told.logits[0].tolist() == np.eye(3)[numbers[0]].tolist()
    assert told.strange.startswith(f"{said}but the data's are 0 to 2 (")


@pytest.mark.parametrize("access", ["logits", "probabilities"])
def test_labels_are_no_more_than_labels(access: str) -> None:
    check_grade("labels")
    with pytest.raises(
        BadInput, match=f"labels alone, but its {access} are asked for; set the run's access to 'labels'"
    ):
        check_grade(access)  # type: ignore[arg-type]
