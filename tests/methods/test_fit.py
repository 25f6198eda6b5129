"""What is known of two networks without building them: whether a method can join them."""

from itertools import product

import pytest
from situation import SHAPE, pair

from kdcore.errors import BadInput
from kdcore.spec.catalogue import catalogue
from kdcore.spec.checks import check, unjoined
from kdcore.spec.compatibility import misfit, stages_of
from kdcore.spec.lineage import recommended
from kdcore.spec.registry import METHODS, MODELS
from kdcore.spec.spec import Choice

MAPS = ((8, 8, 8), (16, 4, 4), (32, 2, 2))
MIXED = ((6, 14, 14), (16, 5, 5), (84,))
VECTORS = ((64,), (64,))


@pytest.mark.parametrize(
    ("joins", "student", "teacher", "said"),
    [
        ("any", VECTORS, MAPS, None),
        ("places", MAPS, MIXED, None),
        ("places", VECTORS, MAPS, "no pair of stages has several on both sides: the student's stages are 64, 64"),
        ("places", ((4, 1, 1),), MAPS, "no pair of stages"),
        ("maps", MIXED, MAPS, None),
        ("maps", MAPS, VECTORS, "one of the two has vectors alone"),
        ("last_map", MAPS, MAPS, None),
        ("last_map", MIXED, MAPS, "one of the two has a vector"),
        ("blocks", MAPS, MAPS, None),
        ("blocks", MAPS, VECTORS, None),
        ("blocks", VECTORS, VECTORS, None),
        ("blocks", MIXED, MAPS, "cannot join stage 3 of the student, a vector of shape 84, to what follows stage 3"),
        ("blocks", VECTORS, MIXED, "cannot join stage 1 of the student, a vector of shape 64, to what follows stage 2"),
    ],
)
def test_two_networks_fit_or_it_is_said_why(joins: str, student: object, teacher: object, said: str | None) -> None:
    found = misfit(joins, student, teacher)  # type: ignore[arg-type]
    assert found is None if said is None else said in str(found)


@pytest.mark.parametrize("name", [name for name, one in catalogue()["method"].items() if one["joins"] != "any"])
def test_what_is_refused_here_is_what_the_method_refuses_once_it_sees_the_networks(name: str) -> None:
    """The sentence comes before anything is trained, and no network is refused that would do."""
    method = METHODS[name]()
    choices = [Choice(name="mlp", knobs={"width": 8, "depth": 2}), Choice(name="cnn", knobs={"width": 4})]
    for mine, theirs in product(choices, choices):
        student, teacher = (MODELS[one.name](**one.knobs).build(SHAPE, 4) for one in (mine, theirs))
        refused = unjoined(Choice(name=name), mine, theirs, SHAPE) is not None
        try:
            told = pair(method, student, teacher, 4)
            method.adapt_student(student, teacher)
            method.connect(told)
        except BadInput:
            assert refused, (name, mine.name, theirs.name)
        else:
            assert not refused, (name, mine.name, theirs.name)


def test_stages_are_those_of_the_network() -> None:
    assert stages_of("cnn", {"width": 8}, (1, 8, 8)) == [[8, 8, 8], [16, 4, 4], [32, 2, 2]]
    assert stages_of("mlp", {"width": 8, "depth": 2}, (2,)) == [[8], [8]]
    assert stages_of("lenet", {}, (1, 8, 8)) is None


def test_a_run_that_cannot_be_joined_is_refused_before_its_teacher_is_trained() -> None:
    spec = recommended("digits", "bld").model_copy(update={"student": Choice(name="mlp", knobs={"width": 8})})
    with pytest.raises(BadInput, match=r"Method 'bld' cannot join stage 1 .* join these two are .*fitnet"):
        check(spec)


@pytest.mark.parametrize("method", list(catalogue()["method"]))
@pytest.mark.parametrize("data", ["digits", "digits_color", "rendered"])
def test_what_is_recommended_fits(data: str, method: str) -> None:
    check(recommended(data, method))
