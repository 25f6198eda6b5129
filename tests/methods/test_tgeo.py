"""TGeo-KD: the controller's gradient is what a real step of the student would do to the held-out loss."""

import copy

import pytest
import slow
import torch
from situation import Situation, situation
from torch import Tensor, nn

from kdcore.contracts.outputs import Outputs
from kdcore.methods.tgeo import TGeo, centres, directional, geometry
from kdcore.nn.losses import cross_entropy, kd_loss

torch.set_num_threads(1)


class Fixed(nn.Module):
    """A controller that always says the same."""

    def __init__(self, share: Tensor) -> None:
        super().__init__()
        self.share = nn.Parameter(share)

    def forward(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        return self.share.expand(len(targets))


def values(found: Situation, state: nn.Module, **knobs: float) -> dict[str, float]:
    return {name: term.value.item() for name, term in TGeo(**knobs).terms(found.batch, state).items()}


def slow_points(*points: list[float]) -> list[float]:
    """What the controller sees of one row: the four points, then the squared differences along five sides."""
    student, teacher, label, centre = points
    sides = [(centre, student), (label, student), (teacher, student), (teacher, label), (centre, label)]
    squared = [(a - b) ** 2 for one, other in sides for a, b in zip(one, other, strict=True)]
    return [*student, *teacher, *label, *centre, *squared]


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e3])
@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (6, 4), (5, 2)])
def test_the_students_loss_is_the_slow_loop(scale: float, rows: int, classes: int) -> None:
    found = situation(TGeo(), rows, classes, unlabelled=False)
    ours, theirs = slow.draw(rows, classes, scale), slow.draw(rows, classes, 2.0, seed=1)
    batch = found.batch._replace(student=Outputs(ours, ()), teacher=Outputs(theirs, ()))
    share = torch.linspace(0.1, 0.9, rows)
    terms = TGeo(temperature=2.0).terms(batch, Fixed(share))
    expected = 0.0
    for row, a in enumerate(share.tolist()):
        one = slice(row, row + 1)
        expected += (1 - a) * slow.label_loss(ours[one], batch.labels[one])
        expected += a * slow.soft_kl(ours[one], theirs[one], 2.0)
    found_value = terms["labels"].value.item() + terms["kd"].value.item()
    assert found_value == pytest.approx(expected / rows, rel=1e-5, abs=1e-5)


def test_a_share_of_nothing_is_cross_entropy_and_of_all_is_distillation() -> None:
    found = situation(TGeo())
    ours, theirs = found.batch.student.logits, found.batch.teacher.logits
    none, whole = (values(found, Fixed(torch.tensor(share))) for share in (0.0, 1.0))
    assert none["labels"] == pytest.approx(cross_entropy(ours, found.batch.labels).item(), rel=1e-6)
    assert whole["labels"] == 0
    assert whole["kd"] == pytest.approx(kd_loss(ours, theirs, 1.5).item(), rel=1e-6)
    labelled = situation(TGeo(), unlabelled=False)
    assert values(labelled, Fixed(torch.tensor(0.0)))["kd"] == 0


def test_directional_is_a_difference_quotient() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    way = tuple(torch.randn_like(weight) for weight in net.parameters())

    def moved(step: float) -> Tensor:
        other = copy.deepcopy(net)
        with torch.no_grad():
            for weight, along in zip(other.parameters(), way, strict=True):
                weight += step * along
        return other(x).squeeze(1).detach()

    found = directional(net(x).squeeze(1), net, way)
    torch.testing.assert_close(found, (moved(1e-5) - moved(-1e-5)) / 2e-5, atol=1e-8, rtol=1e-6)


def test_the_controllers_gradient_is_what_a_step_does_to_the_held_out_loss() -> None:
    """Take the step for real, with one row's share moved a little, and look at the held-out loss; in eval mode."""
    found = situation(TGeo(), rows=5)
    share, rate, nudge = torch.full((5,), 0.4), 1e-3, 0.5
    state, student = Fixed(share), found.student.double().eval()
    x, other = found.batch.inputs.double(), torch.randn(7, 1, 8, 8, dtype=torch.float64)
    labels, held_out = found.batch.labels, torch.arange(7) % 4
    theirs = found.batch.teacher

    def loss_after(shares: Tensor) -> float:
        stepped = copy.deepcopy(student)
        batch = found.batch._replace(student=stepped(x), validation=None, student_net=stepped)
        terms = TGeo().terms(batch._replace(teacher=theirs), Fixed(shares))
        (terms["labels"].value + terms["kd"].value).backward()
        with torch.no_grad():
            for weight in stepped.parameters():
                weight -= rate * weight.grad
            return nn.functional.cross_entropy(stepped(other).logits, held_out).item()

    view = found.batch.validation._replace(student=student(other), labels=held_out)
    batch = found.batch._replace(student=student(x), student_net=student, validation=view)
    controller = TGeo().terms(batch, state)["controller"].value
    gradient = torch.autograd.grad(controller, state.share)[0]
    for row in range(5):
        up, down = (loss_after(share + sign * nudge * torch.eye(5)[row]) for sign in (1, -1))
        if labels[row] >= 0:
            assert gradient[row].item() == pytest.approx((up - down) / (2 * nudge * rate), rel=0.03, abs=1e-4)
        else:
            assert gradient[row].item() == 0


def test_the_controller_learns_and_leaves_the_student_alone() -> None:
    student, _, state, batch = situation(TGeo())
    term = TGeo().terms(batch, state)["controller"].value
    weights = list(state.parameters())
    found = torch.autograd.grad(term, [*weights, *student.parameters()], allow_unused=True)
    assert all(slope.abs().sum() > 0 for slope in found[: len(weights)])
    assert all(slope is None for slope in found[len(weights) :])
    total = sum(term.value for name, term in TGeo().terms(batch, state).items() if name != "controller")
    assert all(one is None for one in torch.autograd.grad(total, weights, allow_unused=True))


def test_without_held_out_rows_or_gradients_the_controller_is_not_judged() -> None:
    found = situation(TGeo())
    assert TGeo().terms(found.batch._replace(validation=None), found.state)["controller"].value == 0
    with torch.no_grad():
        again = situation(TGeo())
        assert TGeo().terms(again.batch, again.state)["controller"].value == 0


def test_what_the_controller_sees_is_written_out() -> None:
    found = situation(TGeo(), unlabelled=False)
    ours, theirs = (
        [slow.softmax(row) for row in slow.rows_of(one.logits)] for one in (found.batch.student, found.batch.teacher)
    )
    labels = found.batch.labels.tolist()
    one_hot = [[float(c == y) for c in range(4)] for y in labels]
    centres = slow.rows_of(found.state.centres)
    rows = [slow_points(*row) for row in zip(ours, theirs, one_hot, [centres[y] for y in labels], strict=True)]
    points = (torch.tensor(one, dtype=torch.float64) for one in (ours, theirs, one_hot, [centres[y] for y in labels]))
    torch.testing.assert_close(geometry(*points), torch.tensor(rows, dtype=torch.float64))
    first, _, last, _ = found.state.layers
    assert first.in_features == 9 * 4
    expected = torch.sigmoid(last(torch.relu(first(torch.tensor(rows, dtype=torch.float32))))).squeeze(1)
    torch.testing.assert_close(TGeo().balance(found.batch, found.state), expected)


def test_centres_by_hand() -> None:
    said = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.0, 0.0, 1.0]])
    expected = torch.tensor([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(centres(said, torch.tensor([0, 0, 2]), 3), expected)


def test_notes_part_rows_where_the_teacher_is_right_and_wrong() -> None:
    *_, batch = situation(TGeo(), 4, unlabelled=False)
    share = torch.tensor([0.1, 0.2, 0.3, 0.6])
    right = batch._replace(teacher=Outputs(torch.eye(4), ()))
    half = batch._replace(teacher=Outputs(torch.eye(4)[[0, 1, 0, 0]], ()))
    unlabelled = half._replace(labels=torch.tensor([0, 1, 2, -1]))
    for one, expected in [(right, (0.3, 0.3)), (half, (0.15, 0.45)), (unlabelled, (0.15, 0.3))]:
        assert [note.item() for note in TGeo().metrics(one, Fixed(share)).values()] == pytest.approx(expected)


def test_the_target_is_the_mixture_that_the_share_stands_for() -> None:
    *_, batch = situation(TGeo(), 4, unlabelled=False)
    share = torch.tensor([0.0, 0.25, 0.5, 1.0])
    found = TGeo().arrays(batch, Fixed(share))
    for row, (a, said) in enumerate(zip(share.tolist(), slow.rows_of(batch.teacher.logits), strict=True)):
        expected = [a * p + (1 - a) * (c == row) for c, p in enumerate(slow.softmax(said))]
        assert found["target"][row].tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(found["share"], share)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    exact, cut = situation(TGeo()), situation(TGeo(), dtype=dtype)
    theirs, ours = values(exact, exact.state), values(cut, cut.state)
    assert ours == pytest.approx(theirs, rel=0.1, abs=0.02)
