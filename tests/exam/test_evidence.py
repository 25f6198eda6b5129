"""Tasks that gather evidence: distances to the training rows, groups of rows, answers of further runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from kdcore.comparison.question import Party
from kdcore.comparison.tasks import clusters, support, witnesses
from kdcore.contracts.data import silent
from kdcore.errors import BadInput


class Squares:
    """A model whose features are the inputs."""

    def features(self, x: Tensor) -> Tensor:
        return x.float()


def pair(rows: int = 40, training: int = 700, teacher: Any = None) -> Any:
    rng = np.random.default_rng(0)
    x, train_x = (torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32)) for n in (rows, training))
    return SimpleNamespace(
        x=x,
        train_x=train_x,
        teacher=teacher,
        student=Squares(),
        classes=("a", "b"),
        data=None,
        device=None,
        question=SimpleNamespace(data=None),
    )


def test_distances_are_those_of_the_tenth_neighbour() -> None:
    one = pair(teacher=Squares())
    found = support.work(one, {}, silent)
    known = NearestNeighbors(n_neighbors=11).fit(one.train_x)
    assert found["distance"] == pytest.approx(known.kneighbors(one.x)[0][:, 9], rel=1e-4)
    assert sorted(found["own"]) == pytest.approx(sorted(known.kneighbors(one.train_x)[0][:, 10]), rel=1e-3)


def test_distances_want_a_teacher_and_enough_rows() -> None:
    with pytest.raises(BadInput, match="no teacher"):
        support.work(pair(), {}, silent)
    with pytest.raises(BadInput, match="more than 10 training rows, but there are 10"):
        support.work(pair(training=10, teacher=Squares()), {}, silent)


def test_rows_that_lie_together_are_one_group() -> None:
    one = pair(rows=40)
    one.x = torch.cat([torch.randn(10, 3) * 0.01 + 10 * k for k in range(4)])
    found = clusters.work(one, {}, silent)["cluster"].reshape(4, 10)
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0].tolist())) == 4


def test_witnesses_answer_in_the_order_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted:
        def __init__(self, party: Party, *_: object) -> None:
            self.place = int(party.title)

        def logits(self, x: Tensor) -> Tensor:
            return 2.0 * torch.eye(4)[torch.full((len(x),), self.place)]

    monkeypatch.setattr(witnesses, "ComparedModel", Shifted)
    asked = {"seeds": [{"title": "1", "run": "one"}, {"title": "3", "run": "three"}], "longer": [{"title": "2"}]}
    found = witnesses.work(pair(), asked, silent)
    assert found["seeds_answers"][:, 0].tolist() == [1, 3]
    assert found["seeds_runs"].tolist() == ["one", "three"]
    assert found["longer_answers"].shape == (1, 40)
    assert found["longer_confidence"] == pytest.approx(np.exp(2) / (np.exp(2) + 3))
