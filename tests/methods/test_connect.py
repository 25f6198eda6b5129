"""The layers that join two stages, whatever their shapes."""

import pytest
import torch

from kdcore.nn.connectors import connector

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((4, 8, 8), (6, 8, 8)),
        ((4, 8, 8), (6, 4, 4)),
        ((4, 4, 4), (6, 8, 8)),
        ((4, 32, 32), (6, 7, 7)),
        ((4, 7, 7), (6, 32, 32)),
        ((4, 8, 4), (6, 4, 8)),
        ((4,), (6,)),
        ((4,), (6, 8, 8)),
        ((4, 8, 8), (6,)),
    ],
)
def test_any_two_stages_are_joined(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    joined = connector(student, teacher)(torch.randn(2, *student))
    wanted = teacher if len(student) == len(teacher) == 3 else teacher[:1]
    assert tuple(joined.shape) == (2, *wanted)


def test_a_connector_answers_on_one_scale_whatever_the_student_gives() -> None:
    """Without it a weight of 100 throws a narrow student far off in its first steps."""
    for student, teacher in [((4,), (6,)), ((4, 8, 8), (6, 8, 8))]:
        join, x = connector(student, teacher), torch.randn(32, *student)
        torch.testing.assert_close(join(1000 * x), join(x), atol=1e-3, rtol=1e-3)


def test_the_activation_is_the_one_asked_for_and_none_where_there_are_no_positions() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 4, 8, 8)
    lowest = {name: connector((4, 8, 8), (6, 8, 8), name)(x).min() for name in ("relu", "leaky", "none")}
    assert lowest["relu"] == 0
    assert lowest["none"] < 2 * lowest["leaky"] < 0
    assert connector((4,), (6, 8, 8))(x[:, :, 0, 0]).min() < 0
