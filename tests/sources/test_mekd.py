"""MEKD's two steps against loops over numbers, and what its published code does otherwise than the paper."""

import math

import pytest
import torch
from torch import Tensor

from kdcore.contracts.method import Batch
from kdcore.contracts.outputs import Outputs
from kdcore.errors import BadInput
from kdcore.generation.networks import Discriminator, Generator, Making
from kdcore.generation.source import Scene
from kdcore.methods.mekd import MEKD, image_distance
from kdcore.sources.mekd import MEKDSource, information

torch.set_num_threads(1)
SHAPE, CLASSES = (1, 8, 8), 4


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def softmax(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(value / temperature - max(row) / temperature) for value in row]
    return [power / sum(powers) for power in powers]


# --- networks --------------------------------------------------------------------------------------------------------


def test_networks_have_as_many_parameters_as_published() -> None:
    count = lambda net: sum(weight.numel() for weight in net.parameters())  # noqa: E731
    assert count(Generator(10, (1, 32, 32))) == 312_705
    assert count(Discriminator((1, 32, 32))) == 98_113


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_images_have_the_shape_of_the_data_and_lie_between_minus_one_and_one(shape: tuple[int, ...]) -> None:
    images = Generator(5, shape, 16)(draw(3, 5, scale=9.0))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert Discriminator(shape)(images).shape == (3,)


@pytest.mark.parametrize("shape", [(2,), (1, 30, 30)])
def test_what_is_no_image_of_fours_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="multiples of 4"):
        Generator(5, shape)


# --- the information term --------------------------------------------------------------------------------------------


def slow_paper(seeming: list[float], answers: list[list[float]]) -> float:
    """mean over i of max_c p_ic * -log D_i."""
    return sum(max(softmax(row)) * one for row, one in zip(answers, seeming, strict=True)) / len(seeming)


def slow_released(seeming: list[float], answers: list[list[float]]) -> float:
    """What (B,) times (B, 1) comes to: the mean over all pairs of index_i * -log D_j."""
    indices = [row.index(max(row)) for row in answers]
    return sum(index * one for index in indices for one in seeming) / len(seeming) ** 2


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_both_forms_agree_with_loops(scale: float) -> None:
    seeming, answers = draw(6, seed=1).abs(), draw(6, CLASSES, seed=2, scale=scale)
    loops = seeming.tolist(), answers.tolist()
    assert float(information(seeming, answers, "probabilities", "paper")) == pytest.approx(slow_paper(*loops), rel=1e-5)
    found = float(information(seeming, answers, "probabilities", "released"))
    assert found == pytest.approx(slow_released(*loops), rel=1e-5)


def test_the_published_form_does_not_care_which_image_the_teacher_is_sure_of() -> None:
    seeming, answers = draw(6, seed=1).abs(), draw(6, CLASSES, seed=2)
    moved = answers.roll(1, 0)
    same = [float(information(seeming, one, "probabilities", "released")) for one in (answers, moved)]
    other = [float(information(seeming, one, "probabilities", "paper")) for one in (answers, moved)]
    assert same[0] == pytest.approx(same[1], rel=1e-6)
    assert other[0] != pytest.approx(other[1], rel=1e-3)
    indices = answers.argmax(1).float()
    assert same[0] == pytest.approx(float(indices.mean() * seeming.mean()), rel=1e-6), "the mean factorises"


def test_with_labels_only_it_is_the_adversarial_term() -> None:
    seeming = draw(6, seed=1).abs()
    assert torch.equal(information(seeming, None, "labels", "paper"), seeming.mean())


# --- the loss of the student -----------------------------------------------------------------------------------------


def batch(ours: Tensor, theirs: Tensor, generator: torch.nn.Module) -> Batch:
    none = torch.full((len(ours),), -1)
    return Batch(
        student=Outputs(ours, ()), teacher=Outputs(theirs, ()), labels=none, index=none, progress=0.5,
        inputs=torch.zeros(len(ours), *SHAPE), student_net=None, invert=lambda logits: generator(logits / 5),
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(CLASSES, SHAPE, 16, published=False).eval().requires_grad_(False)


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("pixels", ["mean", "sum"])
def test_the_difference_of_images_agrees_with_a_loop(distance: str, pixels: str) -> None:
    ours, theirs = draw(3, *SHAPE, seed=1), draw(3, *SHAPE, seed=2)
    each = []
    for a, b in zip(ours.flatten(1).tolist(), theirs.flatten(1).tolist(), strict=True):
        gaps = [abs(x - y) if distance == "l1" else (x - y) ** 2 for x, y in zip(a, b, strict=True)]
        each.append(sum(gaps) / (len(gaps) if pixels == "mean" else 1))
    assert float(image_distance(ours, theirs, distance, pixels)) == pytest.approx(sum(each) / 3, rel=1e-5)


@pytest.mark.parametrize(("factor", "power"), [("T", 1), ("T^2", 2)])
def test_the_kl_term_agrees_with_a_loop(generator: Generator, factor: str, power: int) -> None:
    ours, theirs = draw(5, CLASSES, seed=1, scale=3.0), draw(5, CLASSES, seed=2, scale=3.0)
    method = MEKD(factor=factor, temperature=5.0)  # type: ignore[arg-type]
    slow = 0.0
    for a, b in zip(ours.tolist(), theirs.tolist(), strict=True):
        q, p = softmax(a, 5.0), softmax(b, 5.0)
        slow += 5.0**power * sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)) / len(ours)
    found = method.terms(batch(ours, theirs, generator), None)["kl"]
    assert found.weight == 0.5
    assert float(found.value) == pytest.approx(slow, rel=1e-4)


def test_equal_answers_cost_nothing(generator: Generator) -> None:
    logits = draw(5, CLASSES)
    assert all(float(term.value) == 0 for term in MEKD().terms(batch(logits, logits, generator), None).values())


def test_a_generator_that_shows_one_image_pulls_at_nothing() -> None:
    still = torch.nn.Module()
    still.forward = lambda logits: (0 * logits).sum(1)[:, None, None, None].expand(-1, *SHAPE)  # type: ignore[method-assign, assignment]
    ours = draw(5, CLASSES, seed=1).requires_grad_()
    image = MEKD().terms(batch(ours, draw(5, CLASSES, seed=2), still), None)["image"].value
    assert torch.equal(torch.autograd.grad(image, ours)[0], torch.zeros_like(ours))


def test_the_pull_of_each_term_is_its_gradient(generator: Generator) -> None:
    ours, theirs = draw(5, CLASSES, seed=1), draw(5, CLASSES, seed=2)
    method = MEKD()
    seen = method.arrays(batch(ours, theirs, generator), None)
    for row in range(5):
        mine = ours[row : row + 1].clone().requires_grad_()
        alone = method.terms(batch(mine, theirs[row : row + 1], generator), None)
        image, kl = (
            torch.autograd.grad(term.weight * term.value, mine, retain_graph=True)[0][0] for term in alone.values()
        )
        assert float(seen["image_pull"][row]) == pytest.approx(float(image.norm()), rel=1e-4)
        assert float(seen["kl_pull"][row]) == pytest.approx(float(kl.norm()), rel=1e-4)
        cosine = float(image @ kl / image.norm() / kl.norm())
        assert float(seen["pull_cosine"][row]) == pytest.approx(cosine, abs=1e-4)


def test_the_kl_pull_is_that_of_the_formula(generator: Generator) -> None:
    ours, theirs = draw(5, CLASSES, seed=1), draw(5, CLASSES, seed=2)
    seen = MEKD(factor="T", temperature=5.0, kl_weight=0.5).arrays(batch(ours, theirs, generator), None)
    formula = 0.5 * ((ours / 5).softmax(1) - (theirs / 5).softmax(1))
    assert torch.allclose(seen["kl_pull"], formula.norm(dim=1), rtol=1e-4)


# --- the source ------------------------------------------------------------------------------------------------------


class Asked:
    """A teacher of random answers that notes what it was asked."""

    def __init__(self) -> None:
        self.questions: list[tuple[int, bool]] = []

    def __call__(self, inputs: Tensor, local: bool) -> Outputs:
        self.questions.append((len(inputs), local))
        logits = torch.stack([inputs.flatten(1).sum(1) * k for k in range(CLASSES)], dim=1)
        return Outputs(logits - logits.mean(1, keepdim=True), ())


def scene(asked: Asked, access: str = "probabilities") -> Scene:
    x = (draw(40, *SHAPE).sigmoid() * 255).to(torch.uint8)
    return Scene(x, CLASSES, 0, access, lambda images: images, asked, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("knobs", "access", "expected"),
    [
        ({}, "probabilities", [(8, False)]),
        ({}, "labels", []),
        ({"information": "released"}, "labels", [(8, False)]),
        ({"information": "none"}, "probabilities", []),
        ({"align": "self"}, "labels", [(8, False)]),
        ({"align": "self"}, "probabilities", [(8, False)]),
        ({"align": "local"}, "probabilities", [(8, False), (8, True)]),
        ({"information": "none", "align": "local"}, "labels", [(8, True)]),
    ],
)
def test_the_lead_asks_no_more_than_it_needs(
    knobs: dict[str, object], access: str, expected: list[tuple[int, bool]]
) -> None:
    asked = Asked()
    source = MEKDSource(real=8, width=8, **knobs)  # type: ignore[arg-type]
    told = scene(asked, access)
    losses = source.learn(source.build(told), told, 0)
    assert asked.questions == expected
    assert {"discriminator", "generator"} <= losses.keys()


def test_a_step_of_the_lead_moves_each_network_down_its_own_loss() -> None:
    told = scene(Asked())
    source = MEKDSource(real=32, width=16, nets="usual", lr=5e-3)
    torch.manual_seed(0)
    making = source.build(told)
    before = [dict(net.state_dict()) for net in (making.generator, making.discriminator)]
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in before]
    first = source.learn(making, told, 0)
    for net, old in zip((making.generator, making.discriminator), before, strict=True):
        assert any(not torch.equal(tensor, old[name]) for name, tensor in net.state_dict().items())
    for step in range(1, 60):
        last = source.learn(making, told, step)
    assert float(last["discriminator"]) < float(first["discriminator"])


def frozen(making: Making) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in making.state_dict().items()}


@pytest.mark.parametrize("pool", [0, 20])
def test_images_are_a_function_of_seed_and_step_and_change_nothing(pool: int) -> None:
    told = scene(Asked())
    source = MEKDSource(real=8, width=8, nets="usual", pool=pool)
    making = source.build(told)
    first = source.images(making, told, 6, 0)
    kept = frozen(making)
    again = [source.images(making, told, 6, step) for step in (1, 2, 1)]
    assert torch.equal(again[0], again[2])
    assert not torch.equal(again[0], again[1])
    assert first.shape == (6, *SHAPE)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in making.state_dict().items())
    if pool:
        whole = {image.numpy().tobytes() for step in range(40) for image in source.images(making, told, 6, step)}
        assert len(whole) <= pool


def test_the_map_standardises_or_divides() -> None:
    told = scene(Asked())
    logits = draw(50, CLASSES, seed=3, scale=7.0)
    divided = MEKDSource(width=8, tau=2.0)
    making = divided.build(told)
    making.eval()
    assert torch.equal(divided.invert(making, logits), making.generator(logits / 2))
    standard = MEKDSource(width=8, map="standard")
    centred = logits - logits.mean(1, keepdim=True)
    making.get_buffer("spread").fill_(float(centred.square().mean().sqrt()))
    expected = making.generator(centred / centred.square().mean().sqrt())
    assert torch.allclose(standard.invert(making, logits), expected, atol=1e-6)


def test_labels_are_mapped_to_prototypes_as_long_as_the_priors_own_vectors() -> None:
    told = scene(Asked(), "labels")
    source = MEKDSource(width=8, map="standard")
    making = source.build(told)
    source.images(making, told, 4, 0)
    lengths = (torch.eye(CLASSES) - 1 / CLASSES).norm(dim=1) / making.get_buffer("spread")
    assert torch.allclose(lengths, torch.full((CLASSES,), math.sqrt(CLASSES)))
