"""The cache of teacher outputs for training rows."""

import pytest
import torch
from torch import Tensor

from kdcore.contracts.outputs import Outputs
from kdcore.engine import answer_cache
from kdcore.engine.answer_cache import AnswerCache

X = torch.arange(12.0).view(6, 2)


def teacher(x: Tensor) -> Outputs:
    return Outputs(2 * x, (x + 1,))


def test_rows_come_back_as_the_teacher_answered_them() -> None:
    cache = AnswerCache()
    assert not cache.filled
    cache.fill(teacher, list(X.split(4)), len(X), None)
    found = cache.lookup(torch.tensor([5, 0]))
    assert torch.equal(found.logits, 2 * X[[5, 0]])
    assert torch.equal(found.features[0], X[[5, 0]] + 1)


def test_positions_map_rows_of_the_split_to_cached_rows() -> None:
    cache = AnswerCache()
    cache.fill(teacher, [X[[4, 2]]], 2, torch.tensor([-1, -1, 1, -1, 0, -1]))
    assert torch.equal(cache.lookup(torch.tensor([2, 4])).logits, 2 * X[[2, 4]])


def test_what_is_too_large_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 bytes a row: 2 logits and 2 features in float32."""
    for limit, filled in ((16 * len(X), True), (16 * len(X) - 1, False)):
        monkeypatch.setattr(answer_cache, "CACHE_BYTES", limit)
        cache = AnswerCache()
        cache.fill(teacher, [X], len(X), None)
        assert cache.filled is filled
