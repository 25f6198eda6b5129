"""Mixtures against loops over pairs and weights, and how a pool grows."""

import pytest
import torch
from torch import Tensor, nn

from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.errors import BadInput
from kdcore.generation.source import Scene
from kdcore.sources.activemix import GRID, ActiveMixSource, mixture
from kdcore.spec.registry import MODELS

torch.set_num_threads(1)
LOCAL, CLASSES = 12, 3


def unasked(_: Tensor, __: bool) -> Outputs:
    raise AssertionError("a pool is made without the teacher")


def scene(seed: int = 0) -> Scene:
    torch.manual_seed(5)
    x = torch.randint(0, 256, (LOCAL, 1, 8, 8), dtype=torch.uint8)
    student = MODELS["cnn"](width=4).build((1, 8, 8), CLASSES)
    return Scene(x, CLASSES, seed, "probabilities", lambda images: images * 0.5, unasked, student, None)


def source(**knobs: int) -> ActiveMixSource:
    return ActiveMixSource(**{"every": 2, "rounds": 2, "add": 3, "pairs": 7, **knobs})  # type: ignore[arg-type]


def test_the_grid_is_the_published_one() -> None:
    assert [round(weight, 2) for weight in GRID] == [0.3, 0.34, 0.38, 0.42, 0.46, 0.5, 0.54, 0.58, 0.62, 0.66, 0.7]


def test_a_mixture_is_the_weighted_sum_of_pixels() -> None:
    first, other = torch.tensor([200, 0]).view(2, 1, 1, 1).byte(), torch.tensor([100, 255]).view(2, 1, 1, 1).byte()
    mixed = mixture(first, other, torch.tensor([0.3, 0.7]))
    assert mixed.flatten().tolist() == [round(0.3 * 200 + 0.7 * 100), round(0.3 * 255)]


def test_it_starts_with_the_local_images_or_some_of_them() -> None:
    stage = scene()
    assert torch.equal(source().build(stage).get_buffer("pool")[:LOCAL], stage.x)
    some = source(start=5, rounds=0).build(stage).get_buffer("pool")
    local = {row.numpy().tobytes() for row in stage.x}
    assert len({row.numpy().tobytes() for row in some} & local) == 5


def test_what_joins_is_what_a_loop_over_pairs_and_weights_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, maker = scene(), source()
    made = maker.build(stage)
    drawn: list[Tensor] = []
    randint = torch.randint

    def kept(*args: object, **knobs: object) -> Tensor:
        found: Tensor = randint(*args, **knobs)  # type: ignore[call-overload]
        drawn.append(found)
        return found

    monkeypatch.setattr(torch, "randint", kept)
    stage.student.train()
    maker.images(made, stage, 4, 2)
    assert stage.student.training
    first, other = drawn[0].tolist()
    stage.student.eval()
    tried = []
    for a, b in zip(first, other, strict=True):
        found = []
        for weight in GRID:
            pixels = torch.round(weight * stage.x[a].float() + (1 - weight) * stage.x[b].float())
            logits = stage.student((pixels / 127.5 - 1)[None] * 0.5).logits[0]
            found.append((float(logits.detach().softmax(0).max()), pixels))
        tried.append(min(found, key=lambda one: one[0]))
    tried.sort(key=lambda one: one[0])
    joined = made.get_buffer("pool")[LOCAL : LOCAL + 3]
    gap = (joined.float() - torch.stack([pixels for _, pixels in tried[:3]])).abs()
    assert gap.max() <= 1  # a half is rounded either way
    assert (made.get_buffer("pool")[LOCAL + 3 :] == 0).all()


def test_a_pool_grows_by_rounds_and_then_no_more() -> None:
    stage, maker = scene(), source()
    made = maker.build(stage)
    sizes = []
    for step in range(9):
        shown = maker.images(made, stage, 500, step)
        assert shown.abs().max() <= 1
        sizes.append(len({row.numpy().tobytes() for row in shown}))
    grown = made.get_buffer("pool")
    assert sizes[:2] == [LOCAL] * 2
    assert sizes[2] == sizes[3] <= LOCAL + 3
    assert sizes[4] <= LOCAL + 6 == len(grown)
    assert len({row.numpy().tobytes() for row in grown}) > LOCAL


def test_what_is_shown_depends_on_seed_and_step_alone() -> None:
    stage, maker = scene(), source()
    made = maker.build(stage)
    one = maker.images(made, stage, 8, 1)
    assert torch.equal(one, maker.images(made, stage, 8, 1))
    assert not torch.equal(one, maker.images(made, scene(seed=1), 8, 1))


def test_what_cannot_be_mixed_is_refused() -> None:
    points = scene()._replace(x=torch.randn(5, 2))
    with pytest.raises(BadInput, match="mixes images, but the data are points"):
        source().build(points)
    with pytest.raises(BadInput, match="Of 7 pairs that are tried, 9 mixtures cannot join"):
        source(add=9).build(scene())


def test_a_student_that_is_sure_of_the_first_image_prefers_the_other() -> None:
    """With logits that grow with brightness, the least sure mixture of a bright and a dark image holds most of the
    dark one."""
    head = nn.Linear(64, 2, bias=False)
    nn.init.constant_(head.weight[0], 1.0)
    nn.init.constant_(head.weight[1], 0.0)
    bright = torch.stack([torch.full((1, 8, 8), 255), torch.full((1, 8, 8), 128)]).byte()
    net = Net([nn.Flatten()], head)
    stage = scene()._replace(x=bright, student=net, inputs=lambda images: images)
    made = source(rounds=1, add=20, pairs=20).build(stage)
    source(rounds=1, add=20, pairs=20).images(made, stage, 2, 2)
    values = {int(value) for value in made.get_buffer("pool")[2:, 0, 0, 0]}
    assert values <= {128, 255, round(0.3 * 255 + 0.7 * 128), round(0.7 * 255 + 0.3 * 128)}
    assert round(0.3 * 255 + 0.7 * 128) in values
    assert round(0.7 * 255 + 0.3 * 128) not in values or 128 in values
