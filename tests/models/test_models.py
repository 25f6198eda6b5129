"""Every family: shapes, cuts, seeds, published sizes, and costs against a count by layers and published ones."""

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net, pooled, stage_shapes, staged, unrectified
from kdcore.errors import BadInput
from kdcore.spec.costs import cost, costs, members
from kdcore.spec.registry import MODELS

torch.set_num_threads(1)
COLOUR, GREY, TINY, POINTS = (3, 32, 32), (1, 28, 28), (1, 8, 8), (2,)
READS = {
    "mlp": (COLOUR, GREY, TINY, POINTS),
    "lenet": (COLOUR, GREY, (1, 32, 32)),
    "cnn": (COLOUR, GREY, TINY),
    "mobilenetv2": (COLOUR, GREY),
    "torchvision": (COLOUR, GREY),
}
LARGE = {
    "14",
    "20",
    "32",
    "44",
    "56",
    "110",
    "32x4",
    "13",
    "40-1",
    "40-2",
    "1.0",
    "1.5",
}  # like smaller members, and slow to run
NAMES = list(MODELS)


def net(family: str, shape: tuple[int, ...], classes: int = 5, seed: int = 0, **knobs: Any) -> Net:
    torch.manual_seed(seed)
    return MODELS[family](**knobs).build(shape, classes)


def small_members(name: str) -> list[dict[str, Any]]:
    """The members of a family that are quick to run."""
    found = [knobs for knobs in members(MODELS[name]) if knobs.get("variant") not in LARGE]
    return [knobs for knobs in found if knobs.get("width", 8) == 8 and knobs.get("activation", "gelu") == "gelu"]


CASES = [
    (name, knobs, shape)
    for name in NAMES
    for knobs in small_members(name)
    for shape in READS.get(name, (COLOUR, GREY, TINY))
]


@pytest.mark.parametrize(("name", "knobs", "shape"), CASES)
def test_forward_is_the_chain_of_blocks_and_head(name: str, knobs: dict[str, Any], shape: tuple[int, ...]) -> None:
    built = net(name, shape, **knobs).eval()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        outputs, cut = built(x), x
        for block, feature in zip(built.blocks, outputs.features, strict=True):
            cut = block(cut).clone()
            assert torch.equal(cut, feature)
        assert torch.equal(built.head(cut), outputs.logits)
    assert outputs.logits.shape == (2, 5)
    assert torch.isfinite(outputs.logits).all()
    assert stage_shapes(built, shape) == tuple(tuple(feature.shape[1:]) for feature in outputs.features)


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_learns(name: str) -> None:
    built = net(name, COLOUR, **small_members(name)[0])
    built(torch.randn(3, *COLOUR)).logits.square().sum().backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in built.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_weights(name: str) -> None:
    first, again, other = (net(name, COLOUR, seed=seed, **small_members(name)[0]).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "variant", "shape", "classes", "parameters"),
    [  # as published with the families' CIFAR and MNIST forms
        ("lenet", "full", (1, 32, 32), 10, 61_706),
        ("lenet", "full", (1, 28, 28), 10, 61_706),
        ("lenet", "half", (1, 28, 28), 10, 15_738),
        ("resnet", "20", COLOUR, 100, 278_324),
        ("resnet", "56", COLOUR, 100, 861_620),
        ("resnet", "110", COLOUR, 100, 1_736_564),
        ("resnet", "8x4", COLOUR, 100, 1_233_540),
        ("resnet", "32x4", COLOUR, 100, 7_433_860),
        ("wrn", "16-2", COLOUR, 100, 703_284),
        ("wrn", "40-1", COLOUR, 100, 569_780),
        ("wrn", "40-2", COLOUR, 100, 2_255_156),
        ("vgg", "8", COLOUR, 100, 3_965_028),
        ("vgg", "13", COLOUR, 100, 9_462_180),
        ("mobilenetv2", "0.5", COLOUR, 100, 812_836),
        ("shufflenetv2", "1.0", COLOUR, 100, 1_355_528),
    ],
)
def test_published_sizes(name: str, variant: str, shape: tuple[int, ...], classes: int, parameters: int) -> None:
    built = net(name, shape, classes, variant=variant)
    assert sum(weight.numel() for weight in built.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "knobs", "shape"),
    [
        ("lenet", {}, (1, 8, 8)),
        ("lenet", {}, POINTS),
        ("cnn", {}, (1, 7, 7)),
        ("resnet", {}, POINTS),
        ("wrn", {}, (3, 4, 32)),
        ("vgg", {}, POINTS),
        ("mobilenetv2", {}, TINY),
        ("shufflenetv2", {}, POINTS),
        ("torchvision", {}, POINTS),
        ("torchvision", {}, (4, 32, 32)),
        ("torchvision", {"name": "alexnet"}, COLOUR),
        ("torchvision", {"name": "vit_b_16"}, (3, 64, 64)),
    ],
)
def test_a_shape_that_cannot_be_read_is_refused_in_one_sentence(
    name: str, knobs: dict[str, Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(BadInput, match=r"reads? .*(got|pixels).*; choose .*\.$") as caught:
        net(name, shape, **knobs)
    assert "\n" not in str(caught.value)


def by_layers(built: Net, shape: tuple[int, ...]) -> int:
    """Multiply-adds of one input, layer by layer: each weight of a convolution or linear layer, at each position."""
    counts: list[int] = []

    def count(layer: Any, _: Any, output: torch.Tensor) -> None:
        counts.append(output.numel() // layer.weight.shape[0] * layer.weight.numel())

    layers = [layer for layer in built.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        built.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return sum(counts)


@pytest.mark.parametrize(("name", "knobs"), [(name, knobs) for name in NAMES for knobs in small_members(name)[:2]])
def test_cost_agrees_with_a_count_by_layers(name: str, knobs: dict[str, Any]) -> None:
    built = net(name, COLOUR, **knobs)
    found = cost(built, COLOUR)
    assert found.multiply_adds == by_layers(built, COLOUR)
    assert found.parameters == sum(weight.numel() for weight in built.parameters())
    buffers = sum(buffer.nbytes for buffer in built.buffers())
    assert found.size_bytes == 4 * found.parameters + buffers


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t"])
def test_cost_of_published_networks_is_the_published_one(name: str) -> None:
    published = next(iter(torchvision.models.get_model_weights(name))).meta
    found = cost(net("torchvision", (3, 224, 224), 1000, name=name), (3, 224, 224))
    assert found.parameters == published["num_params"]
    assert round(found.multiply_adds / 1e9, 3) == published["_ops"]


def test_cost_leaves_the_net_as_it_was() -> None:
    built = net("cnn", COLOUR)
    before = {key: value.clone() for key, value in built.state_dict().items()}
    cost(built, COLOUR)
    assert built.training
    assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())
    assert not any(module._forward_hooks for module in built.modules())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mlp"])
def test_tabled_costs_hold_for_any_number_of_classes(name: str) -> None:
    wanted = small_members(name)
    rows = [row for row in costs(MODELS[name], [POINTS, COLOUR]) if row["knobs"] in wanted]
    assert rows
    for row in rows:
        found = cost(net(name, tuple(row["shape"]), 23, **row["knobs"]), tuple(row["shape"])).model_dump()
        assert {key: row[key][0] + 23 * row[key][1] for key in found} == found


def test_tabled_costs_name_only_what_can_be_built() -> None:
    assert {tuple(row["shape"]) for row in costs(MODELS["lenet"], [POINTS, TINY, GREY])} == {GREY}
    assert [row["knobs"] for row in costs(MODELS["torchvision"], [COLOUR])] == [{"name": "resnet18"}]


def test_mlp_costs_by_hand() -> None:
    found = cost(net("mlp", POINTS, 3, width=8, depth=2), POINTS)
    assert found.parameters == (2 * 8 + 8) + (8 * 8 + 8) + (8 * 3 + 3)
    assert found.multiply_adds == 2 * 8 + 8 * 8 + 8 * 3
    assert found.size_bytes == 4 * found.parameters


def test_activation_changes_the_answer_but_not_the_weights() -> None:
    answers = [net("mlp", POINTS, activation=name)(torch.ones(1, 2)).logits for name in ("relu", "tanh", "gelu")]
    assert len({tuple(answer[0].tolist()) for answer in answers}) == 3


def test_pooled_averages_positions() -> None:
    feature = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert torch.equal(pooled(feature), feature.mean((2, 3)))
    assert torch.equal(pooled(feature[:, :, 0, 0]), feature[:, :, 0, 0])


@pytest.mark.parametrize("name", NAMES)
def test_a_family_has_a_title_and_describes_every_knob(name: str) -> None:
    family: type[Model] = MODELS[name]
    assert family.title
    assert family.family
    assert all(field.description and field.description.endswith(".") for field in family.model_fields.values())


def test_convolutions_are_initialised_for_relu() -> None:
    layer = next(module for module in net("resnet", COLOUR, variant="32x4").blocks[2].modules() if _wide(module))
    assert layer.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


def _wide(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.weight.shape == (256, 256, 3, 3)


ENDING = {"cnn": 3, "lenet": 3, "vgg": 5, "resnet": 3, "shufflenetv2": 3, "wrn": 1, "mobilenetv2": 1, "torchvision": 1}


@pytest.mark.parametrize(("name", "knobs", "shape"), CASES)
@torch.no_grad()
def test_a_network_cut_before_its_relus_is_the_same_network(
    name: str, knobs: dict[str, Any], shape: tuple[int, ...]
) -> None:
    built = net(name, shape, **knobs).eval()
    cut, x = unrectified(built), torch.randn(2, *shape)
    told, before = built(x), cut.eval()(x)
    torch.testing.assert_close(before.logits, told.logits)
    earlier = [not torch.equal(mine, theirs) for mine, theirs in zip(before.features, told.features, strict=True)]
    assert sum(earlier) == (knobs["depth"] * (knobs["activation"] == "relu") if name == "mlp" else ENDING[name])
    for place, is_earlier in enumerate(earlier):
        if is_earlier:
            assert before.features[place].min() < 0
            torch.testing.assert_close(before.features[place].relu(), told.features[place])
    assert cut.blocks.state_dict().keys() == built.blocks.state_dict().keys()
    assert all(mine is theirs for mine, theirs in zip(cut.parameters(), built.parameters(), strict=True))
    again = unrectified(cut)(x)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again.features, before.features, strict=True))


BENCHMARK = [  # the shapes that mdistiller's networks tell of images of 32x32, their stem left out
    ("wrn", {"variant": "16-2"}, [(32, 32, 32), (64, 16, 16), (128, 8, 8)]),
    ("vgg", {"variant": "8"}, [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)]),
    ("resnet", {"variant": "8x4"}, [(64, 32, 32), (128, 16, 16), (256, 8, 8)]),
    ("mobilenetv2", {"variant": "0.5"}, [(12, 16, 16), (16, 8, 8), (48, 4, 4), (160, 2, 2)]),
    ("shufflenetv2", {"variant": "1.0"}, [(116, 16, 16), (232, 8, 8), (464, 4, 4)]),
]


@pytest.mark.parametrize(("name", "knobs", "stages"), BENCHMARK)
@torch.no_grad()
def test_a_staged_network_is_the_same_network_cut_as_in_the_benchmark(
    name: str, knobs: dict[str, Any], stages: list[tuple[int, ...]]
) -> None:
    built = net(name, COLOUR, **knobs).eval()
    before, x = built.state_dict(), torch.randn(2, *COLOUR)
    cut = staged(built)
    told, closed = cut(x), staged(built, closing=True)(x)
    assert [tuple(feature.shape[1:]) for feature in told.features] == stages
    torch.testing.assert_close(told.logits, built(x).logits)
    assert {id(weight) for weight in cut.parameters()} == {id(weight) for weight in built.parameters()}
    assert not cut.training
    assert built.state_dict().keys() == before.keys()
    torch.testing.assert_close(closed.logits, told.logits)
    assert [feature.shape for feature in closed.features[:-1]] == [feature.shape for feature in told.features]
    torch.testing.assert_close(closed.features[-1], built(x).features[-1])


@torch.no_grad()
def test_a_wide_resnets_last_stage_ends_before_its_normalisation_or_before_its_relu() -> None:
    built, x = net("wrn", COLOUR, variant="16-1").eval(), torch.randn(2, *COLOUR)
    *_, norm, relu = built.blocks[-1]
    last = staged(built)(x).features[-1]
    torch.testing.assert_close(relu(norm(last)), built(x).features[-1])
    torch.testing.assert_close(staged(built, before_relu=True)(x).features[-1], norm(last))


@torch.no_grad()
def test_the_last_convolution_is_no_stage_before_the_relu_either() -> None:
    x = torch.randn(2, *COLOUR)
    for name, relu in (("mobilenetv2", False), ("shufflenetv2", True)):
        built = net(name, COLOUR).eval()
        plain, before = staged(built)(x), staged(built, before_relu=True, closing=True)(x)
        assert before.features[-2].min() < 0
        last = before.features[-2].relu() if relu else before.features[-2]
        torch.testing.assert_close(last, plain.features[-1])
        torch.testing.assert_close(before.features[-1], built(x).features[-1])
        torch.testing.assert_close(before.logits, plain.logits)


def test_networks_without_stem_and_tail_stay_as_they_are() -> None:
    built, x = net("cnn", COLOUR), torch.randn(2, *COLOUR)
    assert all(mine is theirs for mine, theirs in zip(staged(built).blocks, built.blocks, strict=True))
    assert staged(built).training
    torch.testing.assert_close(staged(built.eval(), closing=True)(x).features[-1], built(x).features[-1])
