"""More of some rows: what a batch holds, and what stays as the training data's own source does it."""

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdcore.errors import BadInput
from kdcore.sources.data import DataSource
from kdcore.sources.slice import SliceSource
from kdcore.spec.spec import Spec, parse


def drawn(source: DataSource, count: int, start: int = 0, seed: int = 0) -> list[torch.Tensor]:
    return list(islice(source.indices(30, 8, seed, start, "cpu"), count))


def test_the_first_part_of_a_batch_is_of_the_slice_and_the_rest_as_ever() -> None:
    for ours, plain in zip(drawn(SliceSource(rows="3,7-9", share=0.25), 20), drawn(DataSource(), 20), strict=True):
        assert set(ours[:2].tolist()) <= {3, 7, 8, 9}
        assert torch.equal(ours[2:], plain[2:])


def test_every_row_of_the_slice_has_its_turn() -> None:
    seen = torch.cat([batch[:4] for batch in drawn(SliceSource(rows="3,7-9"), 50)])
    assert set(seen.tolist()) == {3, 7, 8, 9}


@pytest.mark.parametrize(("share", "special"), [(0.0, 0), (1.0, 8)])
def test_none_and_all_of_a_batch(share: float, special: int) -> None:
    source = SliceSource(rows="5", share=share)
    assert [(batch == 5).sum() >= special and len(batch) == 8 for batch in drawn(source, 3)] == [True] * 3
    shows = source.drawn(30, 0)
    assert (shows.tolist() if shows is not None else None) == ([5] if share else None)


def test_no_rows_is_all_rows() -> None:
    seen = torch.cat([batch[:4] for batch in drawn(SliceSource(), 200)])
    assert set(seen.tolist()) == set(range(30))


@given(st.integers(0, 40), st.integers(0, 3))
def test_starting_later_continues_the_same_order(start: int, seed: int) -> None:
    source = SliceSource(rows="0-5", share=0.5)
    whole, later = drawn(source, start + 2, seed=seed), drawn(source, 2, start, seed)
    assert all(torch.equal(left, right) for left, right in zip(whole[start:], later, strict=True))


def test_rows_that_are_not_there_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^The training data have rows 0 to 29, but the slice has row 30; leave it"):
        SliceSource(rows="2,30").drawn(30, 0)


def of(rows: str, method: str = "kd") -> Spec:
    teacher = {"student": {"name": "cnn"}, "method": {"name": "ce"}}
    source = {"name": "slice", "knobs": {"rows": rows}}
    return parse({"student": {"name": "cnn"}, "method": {"name": method}, "teacher": teacher, "source": source})


def test_a_spec_refuses_rows_that_cannot_be_read_or_kept_apart() -> None:
    assert of("1-3").source.knobs == {"augment": "none", "share": 0.5, "rows": "1-3"}
    with pytest.raises(BadInput, match="Rows read like"):
        of("one")
    with pytest.raises(BadInput, match="'tgeo' holds some training rows apart"):
        of("1-3", "tgeo")
