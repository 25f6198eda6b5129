"""A method asks for logits just where it reads what probabilities do not tell: a constant in each row of the teacher's.

Centred log-probabilities are the logits up to such a constant, so a method that asks for "probabilities" must give the
same loss whatever the constant, and one that asks for "logits" must not.
"""

import pytest
import torch
from situation import situation
from torch import Tensor

from kdcore.contracts.method import Batch, Method
from kdcore.contracts.outputs import Outputs
from kdcore.spec.registry import METHODS
from kdcore.spec.spec import parse

torch.set_num_threads(1)


def shifted(outputs: Outputs) -> Outputs:
    """The answer with another constant added to each row."""
    return outputs._replace(logits=outputs.logits + 1.3 * torch.arange(1, len(outputs.logits) + 1)[:, None])


def elsewhere(batch: Batch) -> Batch:
    """The same batch with every teacher's logits shifted."""
    assert batch.teacher
    second = batch.second._replace(teacher=shifted(batch.second.teacher)) if batch.second else None
    return batch._replace(teacher=shifted(batch.teacher), second=second, mentors=tuple(map(shifted, batch.mentors)))


def told(method: Method, batch: Batch, state: torch.nn.Module | None) -> dict[str, Tensor]:
    """All that a method says of a batch in numbers."""
    return {name: term.value for name, term in method.terms(batch, state).items()} | method.metrics(batch, state)


def sees_a_shift(name: str) -> bool:
    method = METHODS[name]()
    *_, state, batch = situation(method)
    if state is not None:
        state.eval()  # what draws at random draws the same both times
    before, after = told(method, batch, state), told(method, elsewhere(batch), state)
    return any(not torch.allclose(before[key].float(), after[key].float(), rtol=1e-4, atol=1e-5) for key in before)


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].needs & {"probabilities", "logits"}])
def test_logits_are_asked_for_where_a_constant_per_row_is_seen(name: str) -> None:
    assert sees_a_shift(name) == ("logits" in METHODS[name].needs)


@pytest.mark.parametrize("name", ["kd", "dkd", "mekd", "hard_label"])
def test_what_a_cloud_grants_is_enough_for_the_baselines_of_mekd(name: str) -> None:
    teacher = {"student": {"name": "cnn"}, "method": {"name": "ce"}}
    source = {"name": "mekd" if name == "mekd" else "data"}
    unlabelled = {"name": "digits", "knobs": {"label_fraction": 0.0}}
    spec = {"data": unlabelled, "student": {"name": "cnn"}, "method": {"name": name}, "source": source}
    assert parse(spec | {"teacher": teacher, "access": "probabilities", "wall": {}}).wall is not None
