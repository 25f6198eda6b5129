"""Teacher assistants: each stage is plain distillation."""

import pytest
import slow
import torch
from situation import situation

from kdcore.methods.kd import KD
from kdcore.methods.takd import TAKD
from kdcore.spec.lineage import recommended

torch.set_num_threads(1)
KNOBS = {"temperature": 3.0, "label_weight": 0.4, "kd_weight": 2.0}


@pytest.mark.parametrize("knobs", [{}, KNOBS])
def test_each_stage_is_plain_distillation(knobs: dict[str, float]) -> None:
    *_, batch = situation(TAKD())
    ours, theirs = TAKD(**knobs).terms(batch, None), KD(**knobs).terms(batch, None)
    assert [(t.weight, t.value.item()) for t in ours.values()] == [(t.weight, t.value.item()) for t in theirs.values()]


def test_the_divergence_is_summed_over_classes() -> None:
    *_, batch = situation(TAKD())
    expected = slow.soft_kl(batch.student.logits.detach(), batch.teacher.logits, 4.0)
    assert TAKD().terms(batch, None)["kd"].value.item() == pytest.approx(expected, rel=1e-5)


def test_an_empty_chain_is_the_run_of_plain_distillation() -> None:
    chain, plain = recommended(method="takd", method_knobs={"assistants": 0}), recommended(method="kd")
    assert chain.teacher == plain.teacher
    assert chain.model_copy(update={"method": plain.method}) == plain
    knobs = {name: value for name, value in chain.method.knobs.items() if name != "assistants"}
    assert knobs == plain.method.knobs
