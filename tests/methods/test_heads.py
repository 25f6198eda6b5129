"""What a classifier reads, and a head that another network keeps."""

import pytest
import torch
from torch import nn

from kdcore.contracts.net import Net
from kdcore.errors import BadInput
from kdcore.nn.heads import Frozen, reading
from kdcore.spec.registry import MODELS

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("model", "knobs", "shape", "width", "maps"),
    [
        ("cnn", {"width": 4}, (1, 8, 8), 16, True),
        ("resnet", {"variant": "8"}, (3, 32, 32), 64, True),
        ("mlp", {"width": 8, "depth": 1}, (2,), 8, False),
        ("lenet", {"variant": "half"}, (1, 28, 28), 42, False),
    ],
)
def test_a_linear_classifier_reads_a_pooled_map_or_a_vector(
    model: str, knobs: dict[str, object], shape: tuple[int, ...], width: int, maps: bool
) -> None:
    found = reading(MODELS[model](**knobs).build(shape, 3), "This")
    assert found.weight.shape == (3, width)
    assert found.maps == maps


def test_dropout_and_flattening_do_not_hide_a_classifier() -> None:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Sequential(nn.Dropout(), nn.Linear(5, 3)))
    assert reading(Net([nn.Identity()], head), "This").maps
    assert not reading(Net([nn.Identity()], nn.Sequential(nn.Flatten(), nn.Linear(5, 3))), "This").maps


def test_a_convolution_before_the_pooling_is_such_a_classifier() -> None:
    head = nn.Sequential(nn.Conv2d(5, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert reading(Net([nn.Identity()], head), "This").maps


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)),
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
        nn.Identity(),
        nn.Bilinear(4, 4, 3),
    ],
)
def test_any_other_head_is_refused_with_the_networks_that_will_do(head: nn.Module) -> None:
    with pytest.raises(BadInput, match=r"This works on a classifier that is one linear layer.*such as 'cnn', 'resnet'"):
        reading(Net([nn.Identity()], head), "This")


def test_a_frozen_module_stays_in_eval_mode_and_never_learns() -> None:
    inner = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    frozen = nn.Sequential(Frozen(inner)).train()
    x = torch.randn(4, 3)
    assert torch.equal(frozen(x), frozen(x))
    assert torch.equal(inner[0].running_mean, torch.zeros(3))
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert frozen.training
    assert not any(module.training for module in inner.modules())
