"""Cutting torchvision's classifiers must not change what they compute."""

import pytest
import torch
from torchvision import models

from kdcore.errors import BadInput
from kdcore.models.torchvision import Torchvision

torch.set_num_threads(1)
CHAINS = [  # name, side, stages that a reader of the architecture expects
    ("resnet18", 32, [(64, 16, 16), (64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)]),
    ("regnet_y_400mf", 64, [(32, 32, 32), (48, 16, 16), (104, 8, 8), (208, 4, 4), (440, 2, 2)]),
    ("alexnet", 64, [(64, 15, 15), (192, 7, 7), (256, 3, 3), (256, 1, 1)]),
    ("squeezenet1_1", 64, [(64, 31, 31), (128, 15, 15), (256, 7, 7), (7, 3, 3)]),
    ("convnext_tiny", 32, [(96, 8, 8), (192, 4, 4), (384, 2, 2), (768, 1, 1)]),
]
WHOLES = [("shufflenet_v2_x0_5", 32, 1024), ("swin_t", 32, 768)]


def outputs(name: str, side: int) -> tuple[torch.Tensor, torch.Tensor, list[tuple[int, ...]]]:
    """Logits of the cut net and of torchvision's own with the same seed, and the stages of the former."""
    torch.manual_seed(3)
    ours = Torchvision(name=name).build((3, side, side), 7).eval()
    torch.manual_seed(3)
    theirs = models.get_model(name, weights=None, num_classes=7).eval()
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        answer = ours(x)
        assert all(torch.equal(f, g) for f, g in zip(answer.features, _features(ours, x), strict=True))
        return answer.logits, theirs(x), [tuple(feature.shape[1:]) for feature in answer.features]


def _features(net: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Features kept apart from what later layers do in place."""
    found = []
    for block in net.blocks:
        x = block(x)
        found.append(x.clone())
    return found


@pytest.mark.parametrize(("name", "side", "stages"), CHAINS)
def test_a_chain_is_cut_into_stages(name: str, side: int, stages: list[tuple[int, ...]]) -> None:
    ours, theirs, found = outputs(name, side)
    assert torch.equal(ours, theirs)
    assert found == stages


@pytest.mark.parametrize(("name", "side", "width"), WHOLES)
def test_what_is_no_chain_stays_whole(name: str, side: int, width: int) -> None:
    ours, theirs, found = outputs(name, side)
    assert torch.equal(ours, theirs)
    assert found == [(width,)]


def test_grey_images_are_shown_as_three_equal_channels() -> None:
    torch.manual_seed(0)
    grey = Torchvision().build((1, 28, 28), 4).eval()
    torch.manual_seed(0)
    colour = Torchvision().build((3, 28, 28), 4).eval()
    x = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(grey(x).logits, colour(x.repeat(1, 3, 1, 1)).logits)


def test_it_is_ready_to_train() -> None:
    net = Torchvision().build((3, 32, 32), 4)
    assert all(module.training for module in net.modules())
    net(torch.randn(2, 3, 32, 32)).logits.sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_unknown_name_suggests() -> None:
    with pytest.raises(BadInput, match=r"named 'resnt18'\. Did you mean 'resnet18'\?"):
        Torchvision(name="resnt18").build((3, 32, 32), 4)


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_auxiliary_answers_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="auxiliary logits"):
        Torchvision(name=name).build((3, 96, 96), 4)
