"""A transfer set of a fixed share, of which each image is asked about once."""

from itertools import islice

import pytest
import torch

from kdcore.contracts.source import Source
from kdcore.engine.row_splits import held_out, places, shown
from kdcore.sources.data import DataSource
from kdcore.sources.knockoff import KnockoffSource


def batches(count: int, rows: int, batch: int, seed: int = 0, start: int = 0, share: float = 0.2) -> list[torch.Tensor]:
    return list(islice(KnockoffSource(share=share).indices(rows, batch, seed, start, "cpu"), count))


@pytest.mark.parametrize(("rows", "share", "count"), [(100, 0.2, 20), (103, 0.2, 21), (5, 0.2, 2), (7, 1.0, 7)])
def test_a_share_of_the_rows_is_drawn_once_and_for_all(rows: int, share: float, count: int) -> None:
    drawn = KnockoffSource(share=share).drawn(rows, seed=3)
    assert len(set(drawn.tolist())) == len(drawn) == count
    assert drawn.tolist() == sorted(drawn.tolist())
    seen = {int(row) for batch in batches(40, rows, 4, seed=3, share=share) for row in batch}
    assert seen == set(drawn.tolist())


def test_another_seed_draws_another_set() -> None:
    one, other = (KnockoffSource().drawn(200, seed=seed).tolist() for seed in (0, 1))
    assert one != other


def test_an_epoch_shows_the_set_once_and_starting_later_continues() -> None:
    whole = batches(9, rows=60, batch=4, seed=2)
    assert sorted(torch.cat(whole[:3]).tolist()) == KnockoffSource().drawn(60, 2).tolist()
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], batches(5, 60, 4, seed=2, start=4), strict=True))


def test_rows_that_are_held_out_are_never_shown() -> None:
    learned, held = held_out(50, True, torch.device("cpu"))
    drawn = shown(KnockoffSource(share=0.5), learned, seed=0)
    assert len(drawn) == 22 or len(drawn) == 23
    assert not set(drawn.tolist()) & set(held.tolist())
    assert shown(DataSource(), learned, seed=0) is learned


def test_places_lead_from_a_row_to_its_answer() -> None:
    rows = torch.tensor([4, 1, 3])
    found = places(rows, 6)
    assert found is not None
    assert rows[found[rows]].tolist() == rows.tolist()
    assert places(torch.arange(6), 6) is None
    assert places(torch.tensor([1, 0]), 2) is not None


def test_it_is_a_source_like_any_other() -> None:
    assert issubclass(KnockoffSource, Source)
    assert KnockoffSource().static
    x = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    assert KnockoffSource().transform(x, 0, 0) is x
