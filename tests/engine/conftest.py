"""Weights for the teachers of small runs, and a method of a test's own."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from kdcore.contracts.method import Method
from kdcore.engine import build, setup
from kdcore.engine.build import network
from kdcore.engine.checkpoint import save_tensors
from kdcore.spec.registry import DATA, METHODS
from kdcore.spec.spec import Spec


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Spec], Path]:
    """The weights of a network as it is before its first step: as good a teacher as any where bits are compared."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def of(name: str) -> Path:
        spec = Spec.model_validate_json(name)
        torch.manual_seed(spec.seed)
        shape, classes = DATA[spec.data.name](**spec.data.knobs).signature()
        save_tensors(folder / spec.hash, dict(network(spec, shape, classes).state_dict()), {})
        return folder / spec.hash

    return lambda spec: of(spec.model_dump_json())


@pytest.fixture
def as_kd(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Method]], None]:
    """Put a method of the test's own in the place of "kd"."""

    def replace(method: type[Method]) -> None:
        for module in (build, setup):
            monkeypatch.setattr(module, "METHODS", {**METHODS, "kd": method})

    return replace
