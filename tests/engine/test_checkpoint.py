"""Weights and checkpoints that an earlier version wrote."""

from pathlib import Path

import pytest
import torch
from torch import nn

from kdcore.engine import checkpoint
from kdcore.engine.checkpoint import head_of, load_weights, save_tensors
from kdcore.errors import BadInput
from kdcore.nn.optim import Rule
from kdcore.spec.registry import MODELS
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec

SPEC = Spec(student=Choice(name="mlp"), method=Choice(name="ce"))


@pytest.mark.parametrize("name", ["mlp", "lenet", "cnn"])
def test_weights_of_a_run_of_ofd_that_kept_a_relu_before_its_head_open(name: str, tmp_path: Path) -> None:
    """Such a run called the one layer of a head head.0, as a ReLU stood before it; longer heads kept their names."""
    kept, fresh = (MODELS[name]().build((1, 28, 28), 4) for _ in range(2))
    old = {
        key.replace("head.", "head.0.") if isinstance(kept.head, nn.Linear) else key: value
        for key, value in kept.state_dict().items()
    }
    save_tensors(tmp_path / "student.safetensors", old, {})
    opened = load_weights(fresh, tmp_path / "student.safetensors").state_dict()
    assert all(torch.equal(opened[key], value) for key, value in kept.state_dict().items())


def test_a_checkpoint_of_a_module_that_was_built_otherwise_is_refused_in_a_sentence(tmp_path: Path) -> None:
    before, now = (nn.ModuleDict({"state": nn.Linear(inputs, 3)}) for inputs in (21, 36))
    rules = {"rule": Rule(Schedule(), before.parameters())}
    checkpoint.save(tmp_path, 5, SPEC, before, rules)
    saved = checkpoint.newest(tmp_path)
    assert saved is not None
    with pytest.raises(BadInput, match=r"earlier version.*\[3, 36\].*; it cannot go on: start it anew\.$"):
        checkpoint.restore(saved, now, {"rule": Rule(Schedule(), now.parameters())})
    checkpoint.restore(saved, before, rules)


def test_a_module_that_refuses_without_a_word_is_a_sentence_too(tmp_path: Path) -> None:
    module = nn.ModuleDict({"state": nn.Linear(2, 3)})
    rules = {"rule": Rule(Schedule(), module.parameters())}
    checkpoint.save(tmp_path, 5, SPEC, module, rules)
    saved = checkpoint.newest(tmp_path)
    assert saved is not None
    module.register_load_state_dict_post_hook(_refuse)
    with pytest.raises(BadInput, match=r"\(RuntimeError\); it cannot go on"):
        checkpoint.restore(saved, module, rules)


def _refuse(*_: object) -> None:
    raise RuntimeError


def test_an_error_without_a_word_is_told_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError

    monkeypatch.setattr(checkpoint, "load_file", refuse)
    with pytest.raises(BadInput, match=r"cannot be used \(OSError\)"):
        load_weights(MODELS["mlp"]().build((2,), 2), tmp_path / "student.safetensors")


def test_a_head_that_is_cut_off_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "student.safetensors").write_bytes(b"\x40\x1f" + bytes(100))
    with pytest.raises(
        BadInput, match=r"student\.safetensors are damaged or cut off \(.*\); bring the run's record anew"
    ):
        head_of(tmp_path / "student.safetensors")
