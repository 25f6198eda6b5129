"""ClassroomKD: who is heard, how loudly and at which temperature."""

import math

import pytest
import slow
import torch
from situation import situation

from kdcore.contracts.method import Batch
from kdcore.contracts.outputs import Outputs
from kdcore.methods.classroom import Classroom, standing

torch.set_num_threads(1)


def said(batch: Batch, student: torch.Tensor, mentors: list[torch.Tensor]) -> Batch:
    """The batch with these logits; the first mentor is the teacher."""
    first, *others = (Outputs(logits, ()) for logits in mentors)
    return batch._replace(student=Outputs(student, ()), teacher=first, mentors=tuple(others))


def slow_terms(
    student: torch.Tensor, mentors: list[torch.Tensor], labels: torch.Tensor, reach: float
) -> dict[str, float]:
    skills = [math.exp(-slow.label_loss(logits, labels)) for logits in (student, *mentors)]
    weights = [len(mentors) * skill / sum(skills) for skill in skills]
    found = {"labels": skills[0] * slow.label_loss(student, labels)}
    for place, logits in enumerate(mentors):
        found[f"mentor_{place}"] = 0.0
        weight = weights[place + 1]
        if weight >= weights[0]:
            temperature = 1 + reach * (weight - weights[0]) / weight
            found[f"mentor_{place}"] = weight * slow.soft_kl(student, logits, temperature)
    return found


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
@pytest.mark.parametrize(("rows", "classes", "count"), [(1, 4, 1), (6, 4, 3), (5, 2, 2)])
def test_the_terms_are_the_slow_loop(scale: float, rows: int, classes: int, count: int) -> None:
    *_, batch = situation(Classroom(), rows, classes)
    student = slow.draw(rows, classes, scale)
    mentors = [slow.draw(rows, classes, 2.0, seed) for seed in range(1, count + 1)]
    method = Classroom(reach=7.0, label_weight=2.0, kd_weight=3.0)
    terms = method.terms(said(batch, student, mentors), None)
    expected = slow_terms(student, mentors, batch.labels, 7.0)
    assert {name: term.value.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert [term.weight for term in terms.values()] == [2.0, *[3.0] * count]


def test_standing_by_hand() -> None:
    """Skills 1/4 (student), 1/2 and 1/8: the better mentor has w = 2 * 4/7 and T = 1 + 12 * (1 - 1/2)."""
    now = standing(torch.tensor(math.log(4)), torch.tensor([math.log(2), math.log(8)]), 12.0)
    assert now.skill.item() == pytest.approx(0.25)
    assert now.student.item() == pytest.approx(4 / 7)
    assert now.mentors.tolist() == pytest.approx([8 / 7, 0.0])
    assert now.temperatures.tolist() == pytest.approx([7.0, 1.0])


def test_equal_skill_is_heard_at_temperature_one() -> None:
    now = standing(torch.tensor(1.5), torch.tensor([1.5, 1.5, 1.5]), 12.0)
    assert now.temperatures.tolist() == [1, 1, 1]
    assert now.mentors.tolist() == pytest.approx([0.75] * 3)


def test_a_student_better_than_all_hears_the_labels_alone() -> None:
    *_, batch = situation(Classroom(), unlabelled=False)
    student = 5.0 * torch.nn.functional.one_hot(batch.labels, 4)
    terms = Classroom().terms(said(batch, student, [slow.draw(6, 4, seed=seed) for seed in (1, 2)]), None)
    assert terms["labels"].value > 0
    assert [terms[name].value.item() for name in ("mentor_0", "mentor_1")] == [0, 0]


@pytest.mark.parametrize("scale", [30.0, 1e3])
def test_hopeless_and_perfect_mentors_leave_the_loss_finite(scale: float) -> None:
    *_, batch = situation(Classroom(), unlabelled=False)
    right = scale * torch.nn.functional.one_hot(batch.labels, 4).float()
    student = slow.draw(6, 4, scale).requires_grad_()
    for mentors in ([right, -right], [-right, -right]):
        terms = Classroom().terms(said(batch, student, mentors), None)
        total = sum(term.weight * term.value for term in terms.values())
        assert total.isfinite()
        assert torch.autograd.grad(total, student)[0].isfinite().all()


def test_skills_are_constants_for_the_gradient() -> None:
    *_, batch = situation(Classroom())
    student = slow.draw(6, 4).requires_grad_()
    batch = said(batch, student, [slow.draw(6, 4, 3.0, seed=1)])
    terms = Classroom().terms(batch, None)
    skill = Classroom().standing(batch).skill
    plain = torch.nn.functional.cross_entropy(student, batch.labels, ignore_index=-1)
    torch.testing.assert_close(
        torch.autograd.grad(terms["labels"].value, student)[0], skill * torch.autograd.grad(plain, student)[0]
    )


def test_the_notes_are_the_weights_in_force() -> None:
    *_, batch = situation(Classroom())
    notes, now = Classroom().metrics(batch, None), Classroom().standing(batch)
    assert notes["student"] == now.student
    assert [notes[f"mentor_{place}"] for place in range(3)] == now.mentors.tolist()
    assert [notes[f"temperature_{place}"] for place in range(3)] == now.temperatures.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    *_, batch = situation(Classroom())
    student, mentors = slow.draw(6, 4), [slow.draw(6, 4, 2.0, seed) for seed in (1, 2)]
    exact = Classroom().terms(said(batch, student, mentors), None)
    found = Classroom().terms(said(batch, student.to(dtype), [one.to(dtype) for one in mentors]), None)
    for name, term in found.items():
        assert term.value.item() == pytest.approx(exact[name].value.item(), rel=0.05, abs=0.01)
