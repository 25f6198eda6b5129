"""What the Lab says."""

from __future__ import annotations

import pytest

from app.text import phrases
from kdcore.spec.lineage import recommended


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "", "0"),
        (168, "B", "168 B"),
        (999, "", "999"),
        (999.6, "B", "1 kB"),
        (12_345, "", "12.3 k"),
        (1_230_000, "B", "1.23 MB"),
        (7.4e9, "", "7.4 G"),
    ],
)
def test_quantities_have_three_digits(value: float, unit: str, expected: str) -> None:
    assert phrases.quantity(value, unit) == expected


def test_title_names_method_data_and_pair() -> None:
    spec = recommended("moons", "dkd")
    assert phrases.title(spec) == "Decoupled KD · Moons · MLP 64 → MLP 8"
    assert spec.teacher is not None
    assert phrases.title(spec.teacher) == "Cross-entropy · Moons · MLP 64"


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({}, "The run ended without a test result."),
        ({"student_accuracy": 0.5}, "The network is correct on 50.0 % of the test set."),
        (
            {"student_accuracy": 0.9, "teacher_accuracy": 0.95, "agreement": 0.93},
            "The student is correct on 90.0 % of the test set, 5.0 points below its teacher (95.0 %). "
            "They agree on 93.0 % of it.",
        ),
        (
            {
                "student_accuracy": 0.713,
                "teacher_accuracy": 0.9,
                "agreement": 0.7,
                "test_rows": 10_000.0,
                "compared_rows": 512.0,
            },
            "The student is correct on 71.3 % of 10,000 test samples, 18.7 points below its teacher (90.0 %). They "
            "agree on 70.0 % of 512 of them. The teacher was queried with 512 of them.",
        ),
        (
            {
                "student_accuracy": 0.1,
                "student_nll": 2.31,
                "test_rows": 360.0,
                "chance_accuracy": 0.103,
                "chance_nll": 2.3,
                "learning_rate": 1e-6,
            },
            "The network is correct on 10.0 % of 360 test samples. Almost nothing was learned: 36 of 360 are correct "
            "(37 by chance), and the loss is 2.31 nats (2.30 by chance); try a learning rate other than 1e-06, "
            "or more steps.",
        ),
        (
            {"student_accuracy": 0.96, "teacher_accuracy": 0.95},
            "The student is correct on 96.0 % of the test set, 1.0 points above its teacher (95.0 %).",
        ),
        (  # a gap is that of the numbers shown, here not 2.7
            {"student_accuracy": 0.95349, "teacher_accuracy": 0.98051},
            "The student is correct on 95.3 % of the test set, 2.8 points below its teacher (98.1 %).",
        ),
        (
            {"student_accuracy": 0.95, "teacher_accuracy": 0.95},
            "The student is correct on 95.0 % of the test set, as often as its teacher.",
        ),
    ],
)
def test_outcome(result: dict[str, float], expected: str) -> None:
    assert phrases.outcome(result) == expected


def test_a_run_that_its_budget_ended_is_not_advised_to_do_more_steps() -> None:
    result = {
        "student_accuracy": 0.097, "student_nll": 2.31, "test_rows": 360.0, "chance_accuracy": 0.103, "chance_nll": 2.3,
        "learning_rate": 0.002, "spent": 1.0,
    }  # fmt: skip
    said = phrases.outcome(result, taught=True)
    assert said.startswith("The student is correct on 9.7 % of 360 test samples. The query budget was used up")
    assert said.endswith("(2.30 by chance); try a larger budget, or a learning rate other than 0.002.")
    assert "steps" not in said.replace("before the last step", "")


def test_a_loss_that_is_not_finite_is_said_to_be_so() -> None:
    result = {"student_accuracy": 0.1, "test_rows": 360.0, "chance_accuracy": 0.1, "chance_nll": 2.3}
    said = phrases.stuck(result | {"learning_rate": 5.0})
    assert said.endswith("the loss is not finite (2.30 by chance); try a learning rate other than 5, or more steps.")


def test_a_run_that_goes_on_says_so_and_its_start_is_told_as_one() -> None:
    alone = recommended("moons")
    begun = alone.model_copy(update={"start": alone})
    assert phrases.title(begun) == f"{phrases.title(alone)} · initialised from another run"
    assert phrases.differences([alone, begun]) == {"start": [None, f"{phrases.title(alone)} ({alone.hash})"]}


def test_only_what_differs_is_told() -> None:
    one, two = recommended("moons"), recommended("moons", method_knobs={"temperature": 2.0}, seed=1)
    assert phrases.differences([one, two, one]) == {"method.temperature": [4.0, 2.0, 4.0], "seed": [0, 1, 0]}
    assert phrases.differences([one, one]) == {}


def test_a_missing_teacher_is_one_line() -> None:
    spec = recommended("moons")
    assert spec.teacher is not None
    found = phrases.differences([spec, spec.teacher])
    assert found["teacher"] == ["MLP 64", None]
    assert not any(path.startswith("teacher.") for path in found)


@pytest.mark.parametrize(
    ("passed_s", "expected"),
    [(5, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (7200, "2 hours ago"), (3 * 86400, "3 days ago")],
)
def test_ago(passed_s: float, expected: str) -> None:
    assert phrases.ago(1000.0, 1000.0 + passed_s) == expected


def test_what_others_wrote_is_no_markdown() -> None:
    assert phrases.verbatim("![a](http://evil.example/p.png)") == r"!\[a\](http://evil.example/p.png)"
    assert phrases.verbatim("a_b*c `d` $e$ <b> &lt;") == r"a\_b\*c \`d\` \$e\$ \<b\> \&lt;"
