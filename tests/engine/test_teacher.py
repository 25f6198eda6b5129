"""The teacher behind a wall: what it shows, what it counts, and that no image is paid for twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdcore.contracts.access import Access
from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.contracts.service import Answered
from kdcore.engine.teacher import Spent, Teacher
from kdcore.engine.teacher_access import granted, worsened
from kdcore.engine.teacher_payload import traffic
from kdcore.errors import BadInput
from kdcore.runs.ledger import Ledger
from kdcore.spec.spec import Wall

torch.set_num_threads(1)
CLASSES = 4
SHAPE = (1, 4, 4)


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


class Service:
    """Answers by a fixed linear map and notes every image it was sent."""

    def __init__(self) -> None:
        self.map = torch.randn(16, CLASSES, generator=torch.Generator().manual_seed(9))
        self.seen: list[Tensor] = []
        self.spoil: Callable[[Tensor], Tensor] = lambda logits: logits

    def __call__(self, pixels: Tensor) -> Answered:
        self.seen += list(pixels)
        return Answered(self.spoil(pixels.flatten(1) @ self.map))


def teacher(folder: Path, ask: Net | Service, access: Access = "probabilities", **wall: object) -> Teacher:
    return Teacher(ask, access, wall=Wall(**wall), folder=folder, classes=CLASSES)  # type: ignore[arg-type]


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_probabilities_are_the_logits_up_to_a_constant() -> None:
    logits = torch.randn(5, CLASSES)
    told = granted(Outputs(logits, (logits,)), "probabilities")
    assert told.features == ()
    assert torch.allclose(told.logits.softmax(1), logits.softmax(1))
    assert torch.allclose(told.logits.sum(1), torch.zeros(5), atol=1e-5)


def test_labels_tell_the_largest_alone() -> None:
    logits = torch.randn(5, CLASSES)
    told = granted(Outputs(logits, ()), "labels").logits
    assert torch.equal(told, granted(Outputs(logits * 3 + logits.argmax(1, keepdim=True), ()), "labels").logits)
    assert told.sum(1).tolist() == [1.0] * 5
    assert torch.equal(told.argmax(1), logits.argmax(1))


def worse(logits: Tensor, **wall: object) -> Tensor:
    return worsened(logits, Wall(**wall), torch.Generator().manual_seed(0))  # type: ignore[arg-type]


def test_the_top_is_told_and_the_rest_is_shared() -> None:
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    assert torch.allclose(worse(p.log(), top=2).softmax(1), torch.tensor([[0.5, 0.3, 0.1, 0.1]]), atol=1e-6)
    assert torch.allclose(worse(p.log(), top=9).softmax(1), p, atol=1e-6)


def test_rounding_keeps_some_digits_and_never_gives_infinity() -> None:
    p = torch.tensor([[0.8761, 0.1219, 0.0015, 0.0005]])
    told = worse(p.log(), digits=2)
    assert told.isfinite().all()
    shown = told.softmax(1)[0]
    raw = torch.tensor([0.88, 0.12, 0.005, 0.005])
    assert torch.allclose(shown, raw / raw.sum(), atol=1e-6)


def test_noise_moves_probabilities_by_about_as_much_as_it_says() -> None:
    p = torch.full((4000, CLASSES), 1 / CLASSES)
    told = worse(p.log(), noise=0.01).softmax(1)
    assert float((told - p).std()) == pytest.approx(0.01 * (1 - 1 / CLASSES) ** 0.5, rel=0.05)
    assert torch.equal(worse(p.log(), noise=0.0).softmax(1), p.log().softmax(1))


def test_gradients_do_not_pass_and_features_are_not_there(tmp_path: Path) -> None:
    net = Net([nn.Sequential(nn.Flatten(), nn.Linear(16, 6))], nn.Linear(6, CLASSES))
    asked = images(3).requires_grad_()
    told = teacher(tmp_path, net)(asked)
    assert not told.logits.requires_grad
    assert told.features == ()


# --- what it counts --------------------------------------------------------------------------------------------------


def test_the_same_image_is_asked_about_once(tmp_path: Path) -> None:
    service = Service()
    asked, x = teacher(tmp_path, service), images(6)
    first = asked(x, local=True).logits
    again = asked(torch.cat([x[2:4], images(1, seed=1), x[2:4]])).logits
    assert torch.equal(again[:2], first[2:4])
    assert torch.equal(again[3:], first[2:4])
    meter = asked.meter
    assert (meter.images, meter.local, meter.requests, meter.cached) == (7, 6, 2, 4)
    assert len(service.seen) == 7


def test_an_image_twice_in_one_batch_is_one_question(tmp_path: Path) -> None:
    service = Service()
    x = images(1).expand(5, *SHAPE)
    asked = teacher(tmp_path, service)
    told = asked(x).logits
    assert (len(service.seen), asked.meter.images, asked.meter.cached) == (1, 1, 4)
    assert torch.equal(told[0], told[4])


@pytest.mark.parametrize(
    ("access", "wall", "expected"),
    [
        ("probabilities", {}, (64, 16)),
        ("logits", {}, (64, 16)),
        ("labels", {}, (64, 4)),
        ("probabilities", {"upload": "uint8"}, (16, 16)),
        ("probabilities", {"top": 1}, (64, 8)),
        ("probabilities", {"top": 4}, (64, 16)),
    ],
)
def test_bytes_are_those_of_the_numbers(
    access: Access, wall: dict[str, object], expected: tuple[int, int], tmp_path: Path
) -> None:
    assert traffic(Wall(**wall), access, images(1)[0], CLASSES) == expected  # type: ignore[arg-type]
    asked = teacher(tmp_path, Service(), access, **wall)
    asked(images(3))
    assert (asked.meter.bytes_up, asked.meter.bytes_down) == (3 * expected[0], 3 * expected[1])


def test_bytes_that_were_really_sent_count_as_they_were(tmp_path: Path) -> None:
    asked = Teacher(
        lambda pixels: Answered(torch.zeros(len(pixels), CLASSES), 3, 5, 1003, 77),
        "logits", wall=Wall(), folder=tmp_path, classes=CLASSES,
    )  # fmt: skip
    asked(images(4))
    meter = asked.meter
    assert (meter.requests, meter.retried, meter.bytes_up, meter.bytes_down) == (3, 5, 1003, 77)


def test_uploads_of_bytes_are_rounded(tmp_path: Path) -> None:
    service = Service()
    teacher(tmp_path, service, upload="uint8")(images(3))
    sent = torch.stack(service.seen) * 255
    assert torch.allclose(sent, sent.round(), atol=1e-4)


def test_a_budget_is_never_overrun(tmp_path: Path) -> None:
    service = Service()
    asked, x = teacher(tmp_path, service, budget=10), images(10)
    asked(x[:6])
    with pytest.raises(Spent):
        asked(images(5, seed=1))
    assert (asked.meter.images, len(service.seen)) == (6, 6), "a question that would overrun is not asked in part"
    asked(x)
    assert asked.meter.images == 10
    asked(x)
    with pytest.raises(Spent):
        asked(images(1, seed=2))
    assert len(service.seen) == 10


def test_looks_have_a_budget_of_their_own(tmp_path: Path) -> None:
    service = Service()
    asked, x = teacher(tmp_path, service, looks=4, budget=3), images(8)
    assert asked.look(x[:3]) is not None
    assert asked.look(x[:6]) is None
    assert (asked.meter.looked, asked.meter.images) == (3, 0)
    asked(x[3:6])
    told = asked.look(x[:6])
    assert told is not None, "what was paid for may be looked at"
    assert torch.equal(told.logits[3:], asked(x[3:6]).logits)
    assert (asked.meter.looked, asked.meter.images, len(service.seen)) == (3, 3, 6)


def test_looking_at_a_network_of_ours_costs_nothing(tmp_path: Path) -> None:
    net = Net([nn.Sequential(nn.Flatten(), nn.Linear(16, 6))], nn.Linear(6, CLASSES))
    asked = teacher(tmp_path, net, looks=0)
    assert asked.look(images(3)) is not None
    assert (asked.meter.looked, asked.meter.images) == (0, 0)


# --- what stays ------------------------------------------------------------------------------------------------------


def test_what_was_paid_for_is_there_after_a_crash(tmp_path: Path) -> None:
    service = Service()
    x = images(6)
    before = teacher(tmp_path, service)
    first = before(x, local=True).logits
    after = teacher(tmp_path, service)
    assert torch.equal(after(x).logits, first)
    assert len(service.seen) == 6
    assert after.meter == before.meter, "the run that asks again is the same run"


def test_a_record_cut_off_is_passed_over(tmp_path: Path) -> None:
    service = Service()
    x = images(6)
    teacher(tmp_path, service)(x)
    path = tmp_path / "asked.bin"
    path.write_bytes(path.read_bytes()[:-3])
    after = teacher(tmp_path, service)
    assert (len(after.paid), after.meter.images) == (5, 0)
    after(x)
    assert after.meter.images == 6
    assert len(Ledger(path, CLASSES)) == 6


def test_many_answers_come_back_as_they_were(tmp_path: Path) -> None:
    asked, x = teacher(tmp_path, Service()), images(3000)
    parts = [asked(part).logits for part in torch.split(x, 500)]
    kept = Ledger(tmp_path / "asked.bin", CLASSES)
    assert np.array_equal(kept.rows["answer"][: len(kept)], torch.cat(parts).numpy())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_answer_that_is_no_number_names_its_query(bad: float, tmp_path: Path) -> None:
    service = Service()
    asked = teacher(tmp_path, service)
    asked(images(6))
    service.spoil = lambda logits: logits.index_fill(0, torch.tensor([2]), bad)
    with pytest.raises(BadInput, match=r"query 9 is not a number"):
        asked(images(4, seed=1))
    assert asked.meter.images == 9, "what was answered beside it was paid for and is kept"


class Piecemeal(Service):
    """Answers at most three images a call, and none once it is tired."""

    calls_left = 100

    def __call__(self, pixels: Tensor) -> Answered:
        if self.calls_left == 0:
            raise BadInput("It is tired.")
        self.calls_left -= 1
        return super().__call__(pixels[:3])


def test_an_answer_to_some_is_kept_and_the_rest_asked_for(tmp_path: Path) -> None:
    service, x = Piecemeal(), images(8)
    service.calls_left = 2
    with pytest.raises(BadInput, match="tired"):
        teacher(tmp_path, service)(x)
    service.calls_left = 100
    asked = teacher(tmp_path, service)
    assert torch.equal(asked(x).logits, teacher(tmp_path / "whole", Service())(x).logits)
    assert len(service.seen) == asked.meter.images == 8, "none was asked twice"
    assert asked.meter.requests == 3


def test_noise_is_the_same_in_a_run_that_resumes(tmp_path: Path) -> None:
    x = images(9)
    whole = teacher(tmp_path / "whole", Piecemeal(), noise=0.1)(x).logits
    teacher(tmp_path / "cut", Piecemeal(), noise=0.1)(x[:6])
    assert torch.equal(teacher(tmp_path / "cut", Piecemeal(), noise=0.1)(x).logits, whole)
    assert not torch.equal(teacher(tmp_path / "plain", Piecemeal())(x).logits, whole)
