"""Which runs bear witness to why a student disagrees."""

from kdcore.comparison.reference_runs import witnesses
from kdcore.spec.lineage import recommended


def test_witnesses_differ_from_the_student_in_one_thing_each() -> None:
    spec = recommended("digits", "kd", seed=2**31 - 2)
    found = witnesses(spec)
    assert [one.seed for one in found["seeds"]] == [2**31 - 1, 0, 1]
    assert all(one.model_copy(update={"seed": spec.seed}) == spec for one in found["seeds"])
    (longer,), (bigger,) = found["longer"], found["bigger"]
    assert longer.schedule.steps == 2 * spec.schedule.steps
    assert longer.model_copy(update={"schedule": spec.schedule}) == spec
    assert spec.teacher
    assert bigger.student == spec.teacher.student != spec.student
    assert bigger.model_copy(update={"student": spec.student}) == spec


def test_nothing_is_bigger_than_a_student_of_the_teacher_s_size_or_without_one() -> None:
    spec = recommended("digits", "kd")
    assert spec.teacher
    twin = spec.model_copy(update={"student": spec.teacher.student})
    assert witnesses(twin)["bigger"] == ()
    alone = recommended("digits", "ce").model_copy(update={"teacher": None})
    assert witnesses(alone)["bigger"] == ()
