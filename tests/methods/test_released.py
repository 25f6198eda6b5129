"""Losses are the values that the authors' released code gives, to the rounding of float64.

released.npz holds what that code made of the inputs that `inputs` draws, run once in float64 outside this project: the
functions of sunshangquan/logit-standardization-KD (lskd), zju-SWJ/RLD (rld, lr, rc, swap_la), gizi1/NormKD,
ismail31416/LumiNet, Jin-Ying/Multi-Level-Logit-Distillation, StephenEkaputra/Swapped-Logit-Distillation, fpcsong/BiLD,
hunto/DIST_KD, 2018cx/SinKD, penghui-yang/DHKD and L2D, Hao840/OFAKD, WangYZ1608/Knowledge-Distillation-via-ND,
hchoi71/MIX-KD, GzyAftermath/CAT-KD, m-parchami/GoodTeachersExplain (e2kd), Chengming0501/TGeo-KD and
HobbitLong/RepDistiller (crd), and rkd of megvii-research/mdistiller.

Our losses compute in float32, so `Tensor.float` is `Tensor.double` here. Where one side holds a small constant that the
other does not, as the docstrings say, values are near only (NEAR).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kdcore.methods.bild import difference_loss
from kdcore.methods.catkd import map_loss
from kdcore.methods.crd import contrast_loss
from kdcore.methods.dhkd import log_cosh_loss
from kdcore.methods.dist import dist_losses
from kdcore.methods.e2kd import explanation_loss
from kdcore.methods.l2d import coin_kl
from kdcore.methods.lr import mean_square, revised
from kdcore.methods.lskd import lskd_loss
from kdcore.methods.luminet import luminet_loss
from kdcore.methods.mlkd import levels
from kdcore.methods.nd import directions, nd_rows
from kdcore.methods.normkd import normkd_loss
from kdcore.methods.ofa import ofa_loss
from kdcore.methods.rc import raised
from kdcore.methods.rkd import angle_loss, distance_loss
from kdcore.methods.rld import confidence_loss, ranked_loss
from kdcore.methods.sinkd import sinkhorn_loss
from kdcore.methods.sld import ladder_loss
from kdcore.methods.tgeo import geometry
from kdcore.nn.losses import kd_loss, standardised, swap

FILE = Path(__file__).with_name("released.npz")
CLASSES, ROWS = 7, 6


class Inputs(NamedTuple):
    """What all of them read."""

    student: Tensor  # (ROWS, CLASSES) logits
    teacher: Tensor
    targets: Tensor  # (ROWS,), some of which the teacher has wrong
    features: Tensor  # (ROWS, 5) of the student
    others: Tensor  # of the teacher
    maps: Tensor  # (ROWS, CLASSES, 4, 4) of the student
    theirs: Tensor  # (ROWS, CLASSES, 8, 8)


def inputs() -> Inputs:
    """The same in every process."""
    chance = np.random.default_rng(5)
    drawn = [
        torch.from_numpy(scale * chance.standard_normal(shape))
        for scale, shape in [
            (3.0, (ROWS, CLASSES)), (3.0, (ROWS, CLASSES)), (1.0, (ROWS, 5)), (2.0, (ROWS, 5)),
            (1.0, (ROWS, CLASSES, 4, 4)), (1.0, (ROWS, CLASSES, 8, 8)),
        ]
    ]  # fmt: skip
    student, teacher, *rest = drawn
    targets = torch.cat((teacher.argmax(1)[:4], teacher.argmin(1)[4:]))
    return Inputs(student, teacher, targets, *rest)


def label_revision(x: Inputs) -> Tensor:
    off = x.teacher.argmax(1) != x.targets
    right = torch.nn.functional.cross_entropy(x.student[~off], x.targets[~off])
    wrong = mean_square(x.student.softmax(1), revised(x.teacher, x.targets, 0.8), off)
    return right + 4 * mean_square(x.student, x.teacher, ~off) + wrong


def mixed(x: Inputs) -> Tensor:
    """Both terms of MIX-KD at weights .1 and .9, for targets that are the teacher's probabilities."""
    student, teacher = (standardised(one) for one in (x.student, x.teacher))
    labels = -(x.teacher.softmax(1) * student.log_softmax(1)).sum(1).mean()
    return 0.1 * labels + 0.9 * kd_loss(student, teacher, 1.0)


def collided(features: Tensor) -> Tensor:
    """Features of which two rows are one."""
    return torch.cat((features[:1], features[:-1]))


def seen(x: Inputs) -> Tensor:
    """What TGeo-KD's controller sees, the means being those of the batch."""
    student, teacher = x.student.softmax(1), x.teacher.softmax(1)
    label = torch.nn.functional.one_hot(x.targets, CLASSES).double()
    centres = torch.stack([teacher[x.targets == y].mean(0) for y in x.targets])
    return geometry(student, teacher, label, centres)


OURS: dict[str, Callable[[Inputs], Tensor]] = {
    "lskd": lambda x: lskd_loss(x.student, x.teacher, 2.0),
    "rld": lambda x: (
        confidence_loss(x.student, x.teacher, x.targets, 1.0) + 8 * ranked_loss(x.student, x.teacher, x.targets, 4.0)
    ),
    "lr": label_revision,
    "rc": lambda x: kd_loss(x.student, raised(x.student, x.targets), 4.0),
    "swap_la": lambda x: kd_loss(x.student, swap(x.teacher, x.targets), 4.0),
    "normkd": lambda x: normkd_loss(x.student, x.teacher, 2.0),
    "luminet": lambda x: 33**2 * luminet_loss(x.student, x.teacher, 4.0),
    "mlkd": lambda x: levels(x.student, x.teacher, 4.0),
    "sld": lambda x: (
        ladder_loss(x.student, swap(x.teacher, x.targets), 6) + ladder_loss(x.student, swap(x.student, x.targets), 6)
    ),
    "bild": lambda x: torch.stack([difference_loss(x.student, x.teacher, one, 4, 3.0) for one in x[1::-1]]),
    "dist": lambda x: 2 * sum(dist_losses(x.student, x.teacher, 4.0), torch.zeros(())),
    "sinkd": lambda x: ROWS * sinkhorn_loss(x.student, x.teacher, 2.0, 0.1, 20),
    "dhkd": lambda x: log_cosh_loss(x.student, x.teacher, 2.0),
    "l2d": lambda x: coin_kl(x.student, x.teacher),
    "ofa": lambda x: ofa_loss(x.student, x.teacher, x.targets, 1.5),
    "nd": lambda x: nd_rows(x.features, x.others, directions(x.others, x.targets, CLASSES)[x.targets]).mean(),
    "mixkd": mixed,
    "catkd": lambda x: map_loss(x.maps, x.theirs, 2),
    "catkd_normalised": lambda x: map_loss(x.maps, x.theirs, 2, normalise=True),
    "e2kd": lambda x: explanation_loss(x.maps[:, 0].relu(), x.theirs[:, 0].relu(), (16, 16)),
    "tgeo": seen,
    "rkd": lambda x: 25 * distance_loss(x.features, x.others) + 50 * angle_loss(x.features, x.others),
    "rkd_at_one_place": lambda x: distance_loss(collided(x.features), x.others),
    "crd": lambda x: contrast_loss(x.student, torch.tensor(4.0), 50),
}
NEAR = {"normkd": 1e-7, "mixkd": 1e-6, "dist": 1e-6, "rkd": 1e-9, "rkd_at_one_place": 1e-5, "crd": 1e-5}


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All in float64."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", OURS)
def test_a_loss_is_its_authors(name: str) -> None:
    stored = np.load(FILE)
    np.testing.assert_allclose(OURS[name](inputs()).numpy(), stored[name], rtol=NEAR.get(name, 1e-12))


def test_nothing_that_is_stored_is_left_out() -> None:
    assert set(np.load(FILE)) == set(OURS)
