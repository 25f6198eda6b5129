"""What every method must be and do, over all that are registered."""

import inspect
import sys
from typing import Literal, get_origin

import pytest
import torch
from situation import nets, pair, situation
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from kdcore.contracts.access import GRANTS
from kdcore.contracts.method import ASKS, FAMILIES, LINEAGES, Method, Term
from kdcore.contracts.outputs import Outputs
from kdcore.errors import BadInput
from kdcore.methods.dkd import DKD
from kdcore.methods.fitnet import FitNet
from kdcore.methods.kd import KD
from kdcore.methods.rkd import RKD
from kdcore.spec.registry import METHODS
from kdcore.spec.spec import parse

torch.set_num_threads(1)
NAMES = list(METHODS)


def total(terms: dict[str, Term]) -> Tensor:
    return sum(
        (term.weight * term.value for term in terms.values()),
        torch.zeros((), device=next(iter(terms.values())).value.device),
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_file_tells_its_source_departures_and_zero(name: str) -> None:
    doc = inspect.cleandoc(sys.modules[METHODS[name].__module__].__doc__ or "")
    assert doc.splitlines()[0].endswith(".")
    for mark in ("\n\nSource: ", "\n\nDeparts from it: ", "\n\nZero when: "):
        assert len(doc.split(mark)) == 2, f"{name} needs one paragraph {mark.strip()!r}"


@pytest.mark.parametrize("name", NAMES)
def test_the_class_describes_itself(name: str) -> None:
    method = METHODS[name]
    assert method.title
    assert method.paper
    assert method.equation.startswith(r"\mathcal{L} = ")
    assert method.family in FAMILIES
    assert method.needs <= GRANTS["white_box"]
    assert method.asks <= ASKS.keys()
    assert method.lineage in LINEAGES
    assert method.lineage == "teacher" or method.lineage in method.model_fields
    assert method.fixed <= method.model_fields.keys()
    for field in method.model_fields.values():
        assert field.description
        assert field.description.endswith(".")
        closed = field.annotation is bool or get_origin(field.annotation) is Literal
        assert closed or field.metadata, "a knob has bounds"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_terms_are_finite_float32_scalars(name: str, dtype: torch.dtype) -> None:
    method = METHODS[name]()
    *_, state, batch = situation(method, dtype=dtype)
    terms = method.terms(batch, state)
    assert terms
    for term in terms.values():
        assert type(term.weight) is float
        assert term.value.shape == ()
        assert term.value.dtype == torch.float32
        assert term.value.isfinite()


@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (5, 2), (1, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_and_two_classes_work(name: str, rows: int, classes: int) -> None:
    method = METHODS[name]()
    student, _, state, batch = situation(method, rows, classes)
    loss = total(method.terms(batch, state))
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in student.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_student_and_connection_and_no_teacher(name: str) -> None:
    method = METHODS[name]()
    student, teacher, state, batch = situation(method)
    total(method.terms(batch, state)).backward()
    assert sum(float(w.grad.abs().sum()) for w in student.parameters() if w.grad is not None) > 0
    assert all(weight.grad is None for weight in teacher.parameters())
    if state is not None:
        assert all(weight.grad is not None for weight in state.parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", NAMES)
def test_the_host_never_waits_for_a_value(name: str) -> None:
    """Fake tensors have shapes and no values: to read one, or a shape that depends on one, raises."""
    method = METHODS[name]()
    with FakeTensorMode():
        student, _, state, batch = situation(method)
        loss = total(method.terms(batch, state))
        loss.backward()
        with torch.no_grad():
            method.metrics(batch, state)
            method.after_step(batch, state)
            method.arrays(batch, state)
    assert isinstance(loss, FakeTensor)
    assert any(weight.grad is not None for weight in student.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_looking_changes_nothing(name: str) -> None:
    """Only `after_step` writes: terms, metrics and arrays change no network in eval mode."""
    method = METHODS[name]()
    student, teacher, state, batch = situation(method)
    modules = [module.eval() for module in (student, teacher, state) if module is not None]
    before = [{key: value.clone() for key, value in module.state_dict().items()} for module in modules]
    terms, again = (method.terms(batch, state) for _ in range(2))
    with torch.no_grad():
        method.metrics(batch, state)
        found = method.arrays(batch, state)
    for module, kept in zip(modules, before, strict=True):
        assert all(torch.equal(value, kept[key]) for key, value in module.state_dict().items())
    assert list(terms) == list(again)
    assert all(isinstance(array, Tensor) for array in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_remembered_is_in_the_buffers_and_the_teacher_never_changes(name: str) -> None:
    """A step in training mode leaves the teacher bit-identical, its statistics included, and holds no teacher."""
    method = METHODS[name]()
    student, teacher, state, batch = situation(method)
    student.train()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    total(method.terms(batch, state)).backward()
    with torch.no_grad():
        method.after_step(batch, state)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not teacher.training
    held = set() if state is None else {id(module) for module in state.modules()}
    assert held.isdisjoint(id(module) for module in teacher.modules())


@pytest.mark.parametrize("name", NAMES)
def test_without_labels_only_the_teacher_is_heard(name: str) -> None:
    method = METHODS[name]()
    *_, state, batch = situation(method)
    terms = method.terms(batch._replace(labels=torch.full_like(batch.labels, -1)), state)
    assert "labels" not in terms or terms["labels"].value.item() == 0
    assert all(term.value.isfinite() for term in terms.values())


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].needs])
def test_a_method_is_refused_what_it_needs_but_is_not_granted(name: str) -> None:
    teacher = {"student": {"name": "mlp"}, "method": {"name": "ce"}}
    source = "mekd" if "inverse" in METHODS[name].asks else "data"
    spec = {"student": {"name": "mlp"}, "method": {"name": name}, "source": {"name": source}}
    with pytest.raises(BadInput, match=f"Method '{name}' needs a teacher"):
        parse(spec)
    for access, grants in GRANTS.items():
        asked = {**spec, "teacher": teacher, "access": access}
        if METHODS[name].needs <= grants:
            assert parse(asked).access == access
        else:
            with pytest.raises(BadInput, match=f"but access '{access}' grants only"):
                parse(asked)


@pytest.mark.parametrize("name", ["kd", "dkd", "rkd"])
def test_distilling_terms_are_zero_for_a_student_that_equals_its_teacher(name: str) -> None:
    method = METHODS[name]()
    *_, batch = situation(method)
    terms = method.terms(batch._replace(student=batch.teacher), None)
    assert all(term.value.item() == 0 for key, term in terms.items() if key != "labels")


def test_weights_are_the_knobs() -> None:
    *_, batch = situation(KD())
    assert {key: term.weight for key, term in KD().terms(batch, None).items()} == {"labels": 0.1, "kd": 0.9}
    method = RKD(label_weight=2.0, distance_weight=3.0, angle_weight=4.0)
    assert [term.weight for term in method.terms(batch, None).values()] == [2.0, 3.0, 4.0]


def test_dkd_fades_in() -> None:
    *_, batch = situation(DKD())
    method = DKD(alpha=2.0, beta=8.0, warmup=0.2)
    for progress, share in [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)]:
        terms = method.terms(batch._replace(progress=progress), None)
        assert [terms[key].weight for key in ("labels", "tckd", "nckd")] == [1.0, 2.0 * share, 8.0 * share]
    assert DKD(warmup=0.0).terms(batch._replace(progress=0.0), None)["nckd"].weight == 8.0


def test_dkd_takes_the_teachers_choice_where_there_is_no_label() -> None:
    *_, batch = situation(DKD())
    none = batch._replace(labels=torch.full_like(batch.labels, -1))
    chosen = batch._replace(labels=batch.teacher.logits.argmax(1))
    for key in ("tckd", "nckd"):
        assert DKD().terms(none, None)[key].value == DKD().terms(chosen, None)[key].value


def test_rkd_compares_angles_of_the_first_rows_only() -> None:
    *_, batch = situation(RKD())
    few = RKD(angle_rows=3)
    first = batch._replace(
        student=Outputs(batch.student.logits, tuple(feature[:3] for feature in batch.student.features)),
        teacher=Outputs(batch.teacher.logits, tuple(feature[:3] for feature in batch.teacher.features)),
    )
    assert few.terms(batch, None)["angle"].value == RKD().terms(first, None)["angle"].value
    assert few.terms(batch, None)["distance"].value != RKD().terms(first, None)["distance"].value


@pytest.mark.parametrize(("stages", "middle"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_fitnet_takes_the_middle_stage_or_the_one_that_is_named(stages: int, middle: int) -> None:
    assert FitNet().place(stages) == middle
    assert FitNet(hint=1).place(stages) == 0


def test_fitnet_refuses_a_stage_that_is_not_there() -> None:
    method = FitNet(hint=4)
    with pytest.raises(BadInput, match=r"hint is stage 4.*\(4, 8, 8\).*\(8, 8, 8\).*choose a hint from 0 to 3\."):
        method.connect(pair(method, *nets(), classes=4))


@pytest.mark.parametrize("hint", [1, 3])
def test_fitnet_compares_the_regressed_stage_with_the_teachers_of_that_number(hint: int) -> None:
    method = FitNet(hint=hint, label_weight=2.0, hint_weight=3.0)
    *_, state, batch = situation(method)
    terms = method.terms(batch, state)
    assert {key: term.weight for key, term in terms.items()} == {"labels": 2.0, "hint": 3.0}
    gap = state(batch.student.features[hint - 1]) - batch.teacher.features[hint - 1]
    assert terms["hint"].value.item() == pytest.approx(float((gap.detach().double() ** 2).mean()), rel=1e-5)


def test_fitnet_is_zero_where_the_regressed_feature_is_the_teachers() -> None:
    *_, batch = situation(FitNet())
    same = batch._replace(student=batch.teacher)
    assert FitNet().terms(same, torch.nn.Identity())["hint"].value.item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_hooks_have_the_names_of_the_contract(name: str) -> None:
    """A hook under an earlier name would never be called."""
    own = {key for key, one in vars(METHODS[name]).items() if inspect.isfunction(one)}
    assert not own & {"remodel", "reread", "read", "settle", "conclude", "notes", "observe", "show"}
    assert "terms" in own or METHODS[name].terms is not Method.terms
