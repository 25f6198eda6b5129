"""What networks are shown: mixtures by hand and in slow loops, and the three methods that mix."""

import math

import numpy as np
import pytest
import torch
from situation import situation
from torch import Tensor

from kdcore.contracts.outputs import Outputs
from kdcore.methods.cutmixpick import CutMixPick, entropies
from kdcore.methods.funmatch import FunMatch
from kdcore.methods.mixkd import MixKD
from kdcore.nn.losses import standardised
from kdcore.nn.mixing import blended, boxes, mixed_cross_entropy, partners, shares

torch.set_num_threads(1)
CPU = torch.device("cpu")


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=chance(seed)) * scale


def slow_log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    log_sum = math.log(sum(math.exp(value - top) for value in row))
    return [value - top - log_sum for value in row]


def slow_kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> float:
    total = 0.0
    for t, s in zip(teacher.double().tolist(), student.double().tolist(), strict=True):
        log_p, log_q = (slow_log_softmax([value / temperature for value in row]) for row in (t, s))
        total += sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True))
    return temperature**2 * total / len(teacher)


def slow_scaled(rows: Tensor) -> Tensor:
    """Rows over their unbiased standard deviation, in float64; a row of equal values is all 0."""
    found = rows.double().numpy()
    return torch.tensor(np.array([row / row.std(ddof=1) if row.std() > 0 else row * 0 for row in found]))


def slow_mixed(logits: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> float:
    total = weight = 0.0
    for row, (y, j, own) in enumerate(zip(labels.tolist(), partner.tolist(), share.tolist(), strict=True)):
        log_q = slow_log_softmax(logits[row].double().tolist())
        for label, part in ((y, own), (int(labels[j]), 1 - own)):
            if label >= 0:
                total, weight = total - part * log_q[label], weight + part
    return total / weight if weight else 0.0


def answer(inputs: Tensor) -> Outputs:
    """A teacher whose doubt is easy to read: its logits are the first pixels of each row."""
    return Outputs(inputs.flatten(1)[:, :4], ())


@pytest.mark.parametrize("shape", [(5,), (2, 4, 6)])
def test_a_mixture_is_the_sum_of_its_parts(shape: tuple[int, ...]) -> None:
    x, partner, share = draw(3, *shape), torch.tensor([1, 2, 2]), torch.tensor([1.0, 0.25, 0.5])
    found = blended(x, partner, share)
    assert torch.equal(found[0], x[0])
    torch.testing.assert_close(found[1], 0.25 * x[1] + 0.75 * x[2])
    torch.testing.assert_close(found[2], x[2])


def test_chance_comes_from_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    found = [(partners(9, chance(s), CPU), shares(9, chance(s), CPU), boxes(9, (8, 8), chance(s))) for s in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one, again) for one, again in zip(found[0], found[1], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(found[0], found[2], strict=True))
    assert sorted(found[0][0].tolist()) == list(range(9))


@pytest.mark.parametrize("size", [(12,), (12, 12), (6, 20)])
def test_boxes_are_whole_and_cover_any_share(size: tuple[int, ...]) -> None:
    found = boxes(400, size, chance())
    assert found.shape == (400, *size)
    for box in found[:50]:
        axes = [
            box.flatten(0).view(size).any(dim=tuple(d for d in range(len(size)) if d != a)) for a in range(len(size))
        ]
        filled = torch.ones(size, dtype=torch.bool)
        for axis, hit in enumerate(axes):
            places = hit.nonzero()[:, 0]
            assert len(places) == 0 or len(places) == int(places[-1] - places[0]) + 1, "no gap along an axis"
            filled = filled & hit.view([-1 if d == axis else 1 for d in range(len(size))])
        assert torch.equal(box, filled)
    covered = found.flatten(1).float().mean(1)
    assert covered.min() < 0.05
    assert covered.max() > 0.8
    # a box of area 1 - l with its centre anywhere keeps a quarter to a half of the image on average
    assert 0.25 < covered.mean() < 0.5


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_mixed_labels_are_the_slow_loop(scale: float) -> None:
    logits, labels = draw(6, 4, scale=scale), torch.tensor([0, -1, 3, 2, -1, 1])
    partner, share = torch.tensor([1, 0, 2, 4, 1, 5]), torch.tensor([0.3, 0.9, 1.0, 0.5, 0.2, 0.0])
    found = mixed_cross_entropy(logits, labels, partner, share).item()
    assert found == pytest.approx(slow_mixed(logits, labels, partner, share), rel=1e-5)
    assert mixed_cross_entropy(logits, torch.full((6,), -1), partner, share).item() == 0


def test_mixed_labels_by_hand() -> None:
    """Equal logits of two classes cost ln 2 whatever the label; a share of 1 is plain cross-entropy."""
    nothing = torch.zeros(2, 2)
    half = mixed_cross_entropy(nothing, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    assert half.item() == pytest.approx(math.log(2))
    logits, labels = draw(5, 3), torch.tensor([0, 1, 2, 1, 0])
    whole = mixed_cross_entropy(logits, labels, torch.arange(5).flip(0), torch.ones(5))
    torch.testing.assert_close(whole, torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize(("scale", "classes"), [(1.0, 7), (1e3, 7), (1.0, 2), (0.0, 5)])
def test_mixkd_is_the_slow_loop(scale: float, classes: int) -> None:
    method = MixKD(mixed=1.0, label_weight=2.0, kd_weight=3.0)
    *_, batch = situation(method, rows=5, classes=classes)
    student, teacher = draw(5, classes, scale=scale), draw(5, classes, scale=scale, seed=1)
    student[0] = 4.0  # a row of equal logits
    terms = method.terms(batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ())), None)
    scaled = slow_scaled(student)
    labels = slow_mixed(scaled, batch.labels, batch.shown.partner, batch.shown.share)
    assert terms["labels"].value.item() == pytest.approx(labels, rel=1e-4)
    assert terms["kd"].value.item() == pytest.approx(slow_kl(slow_scaled(teacher), scaled), rel=1e-4, abs=1e-6)
    assert [term.weight for term in terms.values()] == [2.0, 3.0]


def test_mixkd_does_not_notice_the_scale_or_the_shift_of_logits() -> None:
    method = MixKD(mixed=1.0)
    *_, batch = situation(method)
    louder = batch._replace(
        student=Outputs(7 * batch.student.logits + 3, ()), teacher=Outputs(0.1 * batch.teacher.logits - 5, ())
    )
    for name, term in method.terms(batch, None).items():
        torch.testing.assert_close(term.value, method.terms(louder, None)[name].value, atol=1e-5, rtol=1e-4)
    same = batch._replace(student=Outputs(9 * batch.teacher.logits, ()))
    assert method.terms(same, None)["kd"].value.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mixed", [0.0, 0.1, 1.0])
def test_mixkd_mixes_the_share_it_says(mixed: float) -> None:
    x = draw(2000, 1, 2, 2)
    shown = MixKD(mixed=mixed).mix_inputs(x, chance(), answer)
    touched = shown.share < 1
    assert touched.float().mean().item() == pytest.approx(mixed, abs=0.02)
    assert torch.equal(shown.student[~touched], x[~touched])
    assert torch.equal(shown.student, shown.teacher)
    torch.testing.assert_close(shown.student, blended(x, shown.partner, shown.share))


def test_mixkd_without_mixing_has_plain_labels() -> None:
    method = MixKD(mixed=0.0)
    *_, batch = situation(method)
    plain = torch.nn.functional.cross_entropy(standardised(batch.student.logits), batch.labels, ignore_index=-1)
    torch.testing.assert_close(method.terms(batch, None)["labels"].value, plain)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_function_matching_is_the_slow_loop(scale: float, temperature: float) -> None:
    method = FunMatch(temperature=temperature)
    *_, batch = situation(method)
    student, teacher = draw(6, 4, scale=scale), draw(6, 4, scale=scale, seed=1)
    terms = method.terms(batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ())), None)
    assert list(terms) == ["kd"]
    assert terms["kd"].value.item() == pytest.approx(slow_kl(teacher, student, temperature), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("views", ["consistent", "independent", "fixed"])
def test_the_same_network_agrees_with_itself_where_both_see_the_same(views: str) -> None:
    method = FunMatch(views=views)
    _, teacher, _, batch = situation(method)
    shown = method.mix_inputs(draw(6, 1, 8, 8), chance(), teacher)
    same = batch._replace(student=teacher(shown.student), teacher=teacher(shown.teacher))
    loss = method.terms(same, None)["kd"].value.item()
    assert loss == 0 if views == "consistent" else loss > 1e-6
    assert (method.metrics(same, None)["agreement"].item() == 1) or views != "consistent"


def test_views_are_what_they_say() -> None:
    x = draw(64, 1, 4, 4)
    both, apart, still = (
        FunMatch(views=v).mix_inputs(x, chance(), answer) for v in ("consistent", "independent", "fixed")
    )
    assert torch.equal(both.student, both.teacher)
    assert torch.equal(still.teacher, x)
    assert not torch.equal(apart.teacher, apart.student)
    assert not torch.equal(apart.teacher, x)
    assert torch.equal(both.student, apart.student)
    assert torch.equal(both.student, still.student)
    torch.testing.assert_close(both.student, blended(x, both.partner, both.share))
    assert both.share.min() >= 0.5
    assert both.share.max() > 0.9


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_entropy_is_the_slow_loop(scale: float) -> None:
    logits = draw(5, 7, scale=scale)
    slow = [-sum(math.exp(v) * v for v in slow_log_softmax(row)) for row in logits.double().tolist()]
    assert entropies(logits).tolist() == pytest.approx(slow, rel=1e-5, abs=1e-6)
    assert entropies(torch.zeros(1, 4)).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("shape", [(3, 6, 6), (10,)])
def test_cutmixpick_keeps_what_the_teacher_doubts_most(shape: tuple[int, ...]) -> None:
    asked: list[Tensor] = []

    def teacher(inputs: Tensor) -> Outputs:
        asked.append(inputs)
        return answer(3 * inputs)

    x = draw(8, *shape)
    shown = CutMixPick(pool=3).mix_inputs(x, chance(), teacher)
    assert [len(inputs) for inputs in asked] == [24]
    assert torch.equal(shown.student[:8], x)
    assert torch.equal(shown.student, shown.teacher)
    assert shown.row is not None
    doubts = sorted(entropies(answer(3 * asked[0]).logits).tolist(), reverse=True)
    kept = sorted(entropies(answer(3 * shown.student[8:]).logits).tolist(), reverse=True)
    assert kept == pytest.approx(doubts[:8])
    for picked, own, partner, share in zip(
        shown.student[8:], shown.row[8:], shown.partner[8:], shown.share[8:], strict=True
    ):
        mine, theirs = picked == x[own], picked == x[partner]
        assert (mine | theirs).all(), "each pixel is one of the two"
        assert mine.float().mean().item() == pytest.approx(share.item()) or own == partner
    assert shown.share[:8].eq(1).all()
    assert shown.row[:8].tolist() == shown.partner[:8].tolist() == list(range(8))


def test_cutmixpick_is_the_slow_loop() -> None:
    method = CutMixPick(label_weight=2.0, kd_weight=3.0, temperature=2.0)
    *_, batch = situation(method)
    assert len(batch.labels) == len(batch.student.logits) == 12
    student, teacher = draw(12, 4), draw(12, 4, scale=1e3, seed=1)
    terms = method.terms(batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ())), None)
    assert terms["kd"].value.item() == pytest.approx(slow_kl(teacher[:6], student[:6], 2.0), rel=1e-5)
    assert terms["picked"].value.item() == pytest.approx(slow_kl(teacher[6:], student[6:], 2.0), rel=1e-5)
    plain = slow_mixed(student[:6], batch.labels[:6], torch.arange(6), torch.ones(6))
    assert terms["labels"].value.item() == pytest.approx(plain, rel=1e-5)
    assert [term.weight for term in terms.values()] == [2.0, 3.0, 3.0]
    notes = method.metrics(batch, None)
    assert notes["entropy_picked"] == entropies(batch.teacher.logits[6:]).mean()
    assert notes["entropy"] == entropies(batch.teacher.logits[:6]).mean()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", [FunMatch(), MixKD(), CutMixPick()])
def test_half_precision_is_close(method: FunMatch | MixKD | CutMixPick, dtype: torch.dtype) -> None:
    *_, batch = situation(method)
    half = batch._replace(
        student=Outputs(batch.student.logits.to(dtype), ()), teacher=Outputs(batch.teacher.logits.to(dtype), ())
    )
    for name, term in method.terms(half, None).items():
        torch.testing.assert_close(term.value, method.terms(batch, None)[name].value, atol=0.03, rtol=0.03)
