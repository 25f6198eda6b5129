"""Rows as text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.errors import BadInput
from kdcore.spec import row_ranges


def test_text_of_rows_by_hand() -> None:
    assert row_ranges.written([12, 3, 7, 8, 9, 10, 11, 7]) == "3,7-12"
    assert row_ranges.read("3, 7 - 12") == [3, 7, 8, 9, 10, 11, 12]
    assert row_ranges.read("") == []
    assert row_ranges.written([]) == ""


@given(st.sets(st.integers(0, 10_000), max_size=300))
def test_reading_undoes_writing(rows: set[int]) -> None:
    assert row_ranges.read(row_ranges.written(rows)) == sorted(rows)


@pytest.mark.parametrize("text", ["a", "3,,4", "-1", "1-2-3", "9-3", "1.5", "3;4"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^Rows read like 3,7-12"):
        row_ranges.read(text)


@pytest.mark.parametrize("text", ["0-4096", "0-4000,5000-5999", "0-999999999"])
def test_too_many_rows_are_refused_before_they_are_listed(text: str) -> None:
    with pytest.raises(BadInput, match=r"^At most 4096 rows"):
        row_ranges.read(text)
    assert len(row_ranges.read("0-4095")) == 4096
