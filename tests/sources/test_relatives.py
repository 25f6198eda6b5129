"""The losses of generators against loops over numbers, and what each does to its images."""

import math

import pytest
import torch
from makers import CLASSES, SHAPE, net, quick, scene
from torch import Tensor

from kdcore.contracts.outputs import Outputs
from kdcore.generation.source import Maker
from kdcore.sources import dafl, deepinversion, dfad, dfhl_rs, dfme, ideal
from kdcore.sources._balance import balance
from kdcore.sources._game import reservoir
from kdcore.sources._generated import tried
from kdcore.sources._pool import even_labels
from kdcore.spec.registry import SOURCES

torch.set_num_threads(1)
ROWS = 5


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def divergence(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)


THEIRS, OURS = draw(ROWS, CLASSES, seed=1, scale=3.0), draw(ROWS, CLASSES, seed=2)
P, Q = ([softmax(row) for row in logits.tolist()] for logits in (THEIRS, OURS))


# --- games -----------------------------------------------------------------------------------------------------------


def test_dfme_compares_centred_log_probabilities_by_their_l1() -> None:
    found = dfme.disagreement(THEIRS, OURS, "l1")
    for row in range(ROWS):
        logs = [[math.log(value) for value in answer[row]] for answer in (P, Q)]
        means = [sum(log) / CLASSES for log in logs]
        slow = sum(abs((logs[0][c] - means[0]) - (logs[1][c] - means[1])) for c in range(CLASSES))
        assert float(found[row]) == pytest.approx(slow, rel=1e-4)
    assert torch.allclose(dfme.disagreement(THEIRS + 7, OURS - 2, "l1"), found, atol=1e-5)
    named = dfme.disagreement(torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[4.0, 2.5, 2.5]]), "l1")
    assert float(named) == pytest.approx(5 / 3), "the departure that the docstring tells in numbers"


def test_maze_compares_them_by_kl() -> None:
    found = dfme.disagreement(THEIRS, OURS, "kl")
    slow = [divergence(p, q) for p, q in zip(P, Q, strict=True)]
    assert found.tolist() == pytest.approx(slow, rel=1e-4)
    assert dfme.disagreement(THEIRS, THEIRS + 3, "kl").abs().max() < 1e-5


def test_dfme_with_many_directions_follows_the_gradient_through_both_networks() -> None:
    """With 64 values and 3000 directions the cosine to the gradient is about 0.99."""
    maker = SOURCES["dfme"](disagreement="kl")
    assert isinstance(maker, dfme.DFME)
    place, counting = scene("probabilities", teacher=net(1).double())
    place.student.double().eval()  # in training a probe moves what batch norms see of its whole batch
    raw = draw(2, *SHAPE, seed=3).double().requires_grad_()
    images = place.inputs(raw.tanh())
    loss = -dfme.disagreement(counting.teacher(images).logits, place.student(images).logits, "kl").sum()
    (true,) = torch.autograd.grad(loss, raw)
    directions = dfme.unit_directions(place, 3000, raw.shape, 0, 1).double()
    found = dfme.forward_differences(lambda x: maker._losses(place, x.tanh()), raw.detach(), directions, 1e-3)
    assert torch.cosine_similarity(found.flatten(1), true.flatten(1)).min() > 0.97


def test_dfad_takes_the_mean_absolute_difference_of_logits() -> None:
    gaps = [abs(a - b) for p, q in zip(THEIRS.tolist(), OURS.tolist(), strict=True) for a, b in zip(p, q, strict=True)]
    assert float(dfad.logit_distance(THEIRS, OURS)) == pytest.approx(sum(gaps) / len(gaps), rel=1e-6)


@pytest.mark.parametrize("name", ["dfad", "zskt"])
def test_where_both_networks_agree_the_game_is_even(name: str) -> None:
    place, _ = scene()
    alike = net(1).eval()  # in eval mode the student takes no statistics of the batch
    place = place._replace(student=alike)
    (loss,) = SOURCES[name]().terms(place, draw(4, *SHAPE).tanh()).values()  # type: ignore[attr-defined]
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)


def test_zskt_is_the_divergence_of_the_two_answers() -> None:
    place, counting = scene()
    images = draw(6, *SHAPE).tanh()
    with torch.no_grad():
        answers = [counting.teacher(place.inputs(images)).logits, tried(place, images).logits]
    p, q = ([softmax(row) for row in logits.tolist()] for logits in answers)
    slow = -sum(divergence(a, b) for a, b in zip(p, q, strict=True)) / 6
    (loss,) = SOURCES["zskt"]().terms(place, images).values()  # type: ignore[attr-defined]
    assert float(loss.detach()) == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize("name", ["dfad", "zskt", "dafl", "dfme"])
def test_a_generator_against_a_student_that_stands_still_gains(name: str) -> None:
    """Many updates of the generator alone bring its loss down."""
    maker = SOURCES[name](latent=5, width=16, lr=3e-3, **({"directions": 50} if name == "dfme" else {}))
    assert isinstance(maker, Maker)
    place, _ = scene()
    making = maker.build(place)
    latents = draw(32, 5)

    def loss() -> float:
        with torch.no_grad():
            images = making.generator.train()(latents)
            if name == "dfme":
                return float(maker._losses(place, images).mean())  # type: ignore[attr-defined]
            return sum(map(float, maker.terms(place, images).values()))  # type: ignore[attr-defined]

    before = loss()
    for turn in range(30):
        maker.play(making, place, draw(32, 5, seed=turn), turn, 1.0)  # type: ignore[attr-defined]
    assert loss() < before - 0.05 * abs(before)


@pytest.mark.parametrize("name", ["dfad", "zskt", "dafl", "dfme"])
def test_a_game_tells_what_it_minimised_before_its_update(name: str) -> None:
    maker = SOURCES[name](latent=5, width=8, **({"directions": 3, "reach": 1.0} if name == "dfme" else {}))
    assert isinstance(maker, Maker)
    place, counting = scene()
    place.student.eval()  # in training a probe moves what batch norms see of its whole batch
    making = maker.build(place)
    with torch.no_grad():
        images = place.inputs(making.generator.train()(draw(6, 5)))
        theirs, ours = counting.teacher(images), place.student(images).logits
    p, q = ([softmax(row) for row in logits.tolist()] for logits in (theirs.logits, ours))
    even = sum(value * math.log10(value) for value in (sum(row[c] for row in p) / 6 for c in range(CLASSES)))
    sure = sum(-math.log(max(row)) for row in p) / 6
    feature = float(theirs.features[-1].mean((2, 3)).abs().mean())
    slow = {
        "dfad": -float((theirs.logits - ours).abs().mean()),
        "zskt": -sum(divergence(a, b) for a, b in zip(p, q, strict=True)) / 6,
        "dafl": sure - 0.1 * feature + 5 * even,
        "dfme": -float(dfme.disagreement(theirs.logits, ours, "l1").mean()),
    }[name]
    maker.play(making, place, draw(6, 5), 0, 1.0)  # type: ignore[attr-defined]
    assert float(making.take()[0]["generator"]) == pytest.approx(slow, rel=1e-4)


def test_the_rate_of_a_game_falls_like_a_cosine_or_not_at_all() -> None:
    course = [SOURCES["dfad"]()._share(done) for done in (0.0, 0.5, 1.0)]  # type: ignore[attr-defined]
    assert course == pytest.approx([1.0, 0.5, 0.0])
    assert SOURCES["dfad"](decay="constant")._share(0.9) == 1.0  # type: ignore[attr-defined]


def test_dafl_has_three_terms() -> None:
    feature = draw(ROWS, 3, 2, 2, seed=4)
    one_hot, activation, even = dafl.parts(Outputs(THEIRS, (draw(ROWS, 1), feature)))
    assert float(one_hot) == pytest.approx(sum(-math.log(max(p)) for p in P) / ROWS, rel=1e-4)
    pooled = [[sum(values) / 4 for values in row] for row in feature.flatten(2).tolist()]
    assert float(activation) == pytest.approx(-sum(abs(v) for row in pooled for v in row) / (ROWS * 3), rel=1e-4)
    mean = [sum(p[c] for p in P) / ROWS for c in range(CLASSES)]
    assert float(even) == pytest.approx(sum(value * math.log10(value) for value in mean), rel=1e-4)


def test_the_balance_is_least_where_classes_are_in_equal_parts() -> None:
    assert float(balance(torch.eye(CLASSES) * 100)) == pytest.approx(-math.log10(CLASSES), rel=1e-5)
    assert float(balance(torch.eye(CLASSES)[:1] * 100)) == pytest.approx(0.0, abs=1e-6)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_every_row_ever_seen_is_equally_likely_in_the_memory() -> None:
    room, batch, rounds, trials = 6, 4, 5, 3000
    held = torch.zeros(batch * rounds)
    chance = torch.Generator().manual_seed(0)
    for _ in range(trials):
        memory: dict[int, int] = {}
        for turn in range(rounds):
            places = reservoir(turn * batch, batch, room, chance)
            memory |= {place: turn * batch + row for place, row in places.items()}
        assert len(memory) == room
        held[list(memory.values())] += 1
    assert torch.allclose(held / trials, torch.full_like(held, room / len(held)), atol=0.04)


def test_remembered_images_come_again_to_the_byte_and_without_retaining_none_does() -> None:
    def shown(retain: float) -> list[bytes]:
        maker = SOURCES["dfad"](latent=5, width=8, retain=retain)
        assert isinstance(maker, Maker)
        place, _ = scene()
        making = maker.build(place)
        return [row.numpy().tobytes() for step in range(4) for row in maker.images(making, place, 8, step)]

    assert len(set(shown(0.0))) == 32
    again = shown(0.5)
    assert len(again) == 32
    assert len(set(again)) == 8 + 3 * 4


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_ideal_asks_the_student_for_doubt() -> None:
    slow = sum(q * math.log(q) for row in Q for q in row) / (ROWS * CLASSES)
    assert float(ideal.doubt(OURS)) == pytest.approx(slow, rel=1e-4)
    assert float(ideal.doubt(torch.zeros(2, CLASSES))) == pytest.approx(-math.log(CLASSES) / CLASSES, rel=1e-5)


def test_images_are_shifted_by_whole_pixels_and_black_comes_in() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3) / 9
    shifted = ideal.moved(image, 1, -1)[0, 0]
    assert shifted.tolist() == [
        [-1, -1, -1],
        [*(image[0, 0, 0, 1:].tolist()), -1],
        [*(image[0, 0, 1, 1:].tolist()), -1],
    ]
    assert torch.equal(ideal.moved(image, 0, 0), image)


def test_dfhl_rs_smooths_its_labels_as_published() -> None:
    """The label keeps 1 - s and each other class has s/(C-1); the figure is worked by hand for z = (2, 0, ... 0)."""
    labels, smoothing = torch.tensor([0, 1, 2, 3, 0]), 0.2
    slow = 0.0
    for row, label in enumerate(labels.tolist()):
        target = [1 - smoothing if c == label else smoothing / (CLASSES - 1) for c in range(CLASSES)]
        slow += divergence(target, Q[row]) / ROWS
    assert float(dfhl_rs.smoothed_kl(OURS, labels, smoothing)) == pytest.approx(slow, rel=1e-4)
    target = torch.tensor([[0.8, 0.2 / 3, 0.2 / 3, 0.2 / 3]]).log()
    assert float(dfhl_rs.smoothed_kl(target, torch.tensor([0]), smoothing)) == pytest.approx(0.0, abs=1e-6)
    ten = torch.tensor([[2.0] + 9 * [0.0]])
    by_hand = 0.8 * math.log(0.8) + 0.2 * math.log(0.2 / 9) - 0.8 * 2 + math.log(math.exp(2) + 9)
    assert by_hand == pytest.approx(0.2568, abs=1e-4)
    assert float(dfhl_rs.smoothed_kl(ten, torch.tensor([0]), smoothing)) == pytest.approx(by_hand, rel=1e-5)


def test_dfhl_rs_climbs_the_students_entropy_by_steps_of_one_length() -> None:
    place, _ = scene("labels")
    maker = quick("dfhl_rs")
    assert isinstance(maker, dfhl_rs.DFHLRS)
    images = draw(8, *SHAPE, scale=0.3).clamp(-0.9, 0.9)
    climbed = images
    for _ in range(5):
        climbed = maker._climbed(place, climbed)
    entropies = [float(dfhl_rs.entropy(tried(place, shown).logits.detach())) for shown in (images, climbed)]
    assert entropies[1] > entropies[0]
    once = maker._climbed(place, images) - images
    assert torch.allclose(once.abs(), torch.full_like(once, 2 * 0.03), atol=1e-6)


def test_labels_are_as_even_as_they_can_be_and_go_on_from_round_to_round() -> None:
    place, _ = scene()
    labels = torch.cat([even_labels(place, 6, turn) for turn in range(2)])
    assert labels.bincount(minlength=CLASSES).tolist() == [3] * CLASSES


def test_a_new_round_begins_with_other_weights_and_a_rule_without_memory() -> None:
    place, _ = scene("labels")
    maker = quick("ideal")
    making = maker.build(place)
    rule = making.rules["generator"]
    counts = []
    firsts = []
    for step in (0, 2):
        maker.images(making, place, 4, step)
        counts.append(float(rule.counts[0]))
        firsts.append(making.generator.first.weight.detach().clone())  # type: ignore[union-attr]
    assert counts == [2.0, 2.0]
    assert not torch.allclose(firsts[0], firsts[1], atol=1e-2)


# --- inversion -------------------------------------------------------------------------------------------------------


def test_total_variation_of_four_neighbours() -> None:
    images = draw(2, 1, 3, 4, seed=5)
    slow = 0.0
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        squares = [
            (float(images[n, 0, i + down, j + right]) - float(images[n, 0, i, j])) ** 2
            for n in range(2) for i in range(3) for j in range(4) if i + down < 3 and 0 <= j + right < 4
        ]  # fmt: skip
        slow += math.sqrt(sum(squares))
    assert float(deepinversion.total_variation(images)) == pytest.approx(slow, rel=1e-5)


def test_statistics_are_those_of_batch_and_positions() -> None:
    maps, mean, variance = draw(3, 2, 2, 2, seed=6), draw(2, seed=7), draw(2, seed=8).abs()
    gaps = [0.0, 0.0]
    for channel in range(2):
        values = maps[:, channel].flatten().tolist()
        middle = sum(values) / 12
        spread = sum((value - middle) ** 2 for value in values) / 12
        gaps[0] += (middle - float(mean[channel])) ** 2
        gaps[1] += (spread - float(variance[channel])) ** 2
    slow = math.sqrt(gaps[0]) + math.sqrt(gaps[1])
    assert float(deepinversion.statistics_gap(maps, mean, variance)) == pytest.approx(slow, rel=1e-5)


def test_images_with_the_remembered_statistics_have_no_gap_in_the_first_batch_norm() -> None:
    """One pass of training with momentum 1 makes a layer remember exactly that batch (with the unbiased variance)."""
    teacher, images = net(1), draw(16, *SHAPE)
    for layer in deepinversion.batch_norms(teacher):
        layer.momentum = 1.0
    teacher.train()(images)
    with torch.no_grad(), deepinversion.watched(teacher.eval()) as apart:
        teacher(images)
    assert len(apart) == 3
    assert float(torch.stack(apart).max()) < 0.05
    assert not any(layer._forward_pre_hooks for layer in teacher.modules())


def test_jensen_shannon_lies_between_nought_and_one() -> None:
    slow = 0.0
    for p, q in zip(P, Q, strict=True):
        m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        slow += (divergence(p, m) + divergence(q, m)) / (2 * math.log(2)) / ROWS
    assert float(deepinversion.jensen_shannon(THEIRS, OURS)) == pytest.approx(slow, rel=1e-4)
    assert float(deepinversion.jensen_shannon(OURS, OURS)) == pytest.approx(0.0, abs=1e-6)
    apart = torch.eye(CLASSES) * 200
    assert float(deepinversion.jensen_shannon(apart, apart.roll(1, 0))) == pytest.approx(1.0, rel=1e-4)


def test_deep_inversion_brings_its_terms_down_and_competes_only_after_its_lead() -> None:
    place, _ = scene()
    maker = SOURCES["deepinversion"](updates=30, made=8, pool=8, lr=0.1, compete=1.0)
    assert isinstance(maker, Maker)
    making = maker.build(place)
    told = [maker.learn(making, place, step) for step in range(maker.lead)]
    assert sum(map(float, told[-1].values())) < 0.9 * sum(map(float, told[0].values()))
    assert "compete" not in told[-1]
    assert "compete" in maker.learn(making, place, maker.lead)


def test_inversion_by_asking_makes_the_teacher_see_the_classes() -> None:
    place, counting = scene("probabilities")
    knobs = {"latent": 8, "width": 16, "lr": 5e-3, "directions": 40, "updates": 40, "made": 12, "pool": 12}
    maker = SOURCES["zo_inversion"](**knobs)
    assert isinstance(maker, Maker)
    making = maker.build(place)
    told = [float(maker.learn(making, place, step)["inversion"]) for step in range(maker.lead)]
    assert told[-1] < 0.95 * told[0]
    assert counting.questions == 40 * 12 * 41


# --- noise -----------------------------------------------------------------------------------------------------------


def test_noise_is_as_it_says() -> None:
    place, _ = scene("labels")
    for knobs, spread in (({}, 1 / math.sqrt(3)), ({"kind": "gaussian", "spread": 0.25}, 0.25)):
        maker = SOURCES["noise"](**knobs)
        assert isinstance(maker, Maker)
        images = maker.images(maker.build(place), place, 400, 0)
        assert float(images.std()) == pytest.approx(spread, rel=0.02)
        assert float(images.mean()) == pytest.approx(0.0, abs=0.02)
