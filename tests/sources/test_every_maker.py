"""What every source that makes its images must be and do."""

import inspect
import sys
from typing import Literal, get_origin

import pytest
import torch
from makers import CLASSES, MAKERS, SAMPLED, SHAPE, access_of, net, quick, scene, steps
from torch import Tensor

from kdcore.contracts.access import GRANTS
from kdcore.errors import BadInput
from kdcore.generation.networks import Making
from kdcore.sources._generated import Generated
from kdcore.spec.registry import SOURCES
from kdcore.spec.spec import parse

torch.set_num_threads(1)
BATCH, COUNT = 4, 5
TOLD: dict[str, list[str]] = {  # parts of what they minimise beside the student
    "dfme": [],
    "dfad": [],
    "zskt": [],
    "dafl": ["one_hot", "activation", "balance"],
    "ideal": ["labels", "doubt"],
    "dfhl_rs": ["labels", "balance"],
    "deepinversion": ["class", "smooth", "statistics", "compete"],
}


@pytest.mark.parametrize(
    ("name", "knobs", "lead"),
    [
        ("mekd", {"steps": 700}, 700),
        ("zo_inversion", {"pool": 301, "made": 100, "updates": 40}, 160),
        ("deepinversion", {"pool": 256, "made": 128, "updates": 5}, 10),
        ("zskt", {}, 0),
    ],
)
def test_how_long_it_leads_is_known_before_it_is_made(name: str, knobs: dict[str, int], lead: int) -> None:
    """A run that waits, or failed at its start, is as long as its form said."""
    asked = {"source": {"name": name, "knobs": knobs}, "schedule": {"steps": 800}, "student": {"name": "cnn"}}
    taught = {"teacher": {"student": {"name": "cnn"}, "method": {"name": "ce"}, "data": {"name": "digits"}}}
    spec = parse(asked | taught | {"data": {"name": "digits"}, "access": "white_box"})
    assert spec.steps == 800 + lead
    assert getattr(SOURCES[name].model_validate(spec.source.knobs), "lead") == lead  # noqa: B009  of makers alone


@pytest.mark.parametrize("name", MAKERS)
def test_the_file_tells_its_source_departures_and_zero(name: str) -> None:
    doc = inspect.cleandoc(sys.modules[SOURCES[name].__module__].__doc__ or "")
    assert doc.splitlines()[0].endswith(".")
    for mark in ("\n\nSource: ", "\n\nDeparts from it: ", "\n\nZero when: "):
        assert len(doc.split(mark)) == 2, f"{name} needs one paragraph {mark.strip()!r}"


def test_the_files_describe_the_generator_that_is_built() -> None:
    """Its layers are MEKD's; width and epsilon are not, so no file may call it the same."""
    told = {}
    for name in MAKERS:
        maker = SOURCES[name]()
        if isinstance(maker, Generated):
            norms = [layer.eps for layer in maker.generator(SHAPE).modules() if isinstance(layer, torch.nn.BatchNorm2d)]
            assert (maker.width, norms) == (32, [1e-5] * 3), name
            told[name] = " ".join((sys.modules[SOURCES[name].__module__].__doc__ or "").split())
    likened = {name: text for name, text in told.items() if "MEKD" in text}
    assert {"dfad", "dfme", "zskt", "ideal"} <= set(likened)
    assert all("narrower (32 maps) and with epsilon 1e-5 in its batch norms" in text for text in likened.values())
    assert "32 maps, epsilon 1e-5 throughout" in told["dafl"]


@pytest.mark.parametrize(
    ("name", "departures"),
    [
        ("dafl", ("the student then learns on new z", "beta 1 = 0.9 at a constant rate", "a last batch norm", "0.05")),
        ("zo_inversion", ("the latents stay fixed and the last images are kept", "weights of standard deviation 0.02")),
    ],
)
def test_what_released_code_does_otherwise_is_named(name: str, departures: tuple[str, ...]) -> None:
    doc = " ".join((sys.modules[SOURCES[name].__module__].__doc__ or "").split())
    departs = doc.split("Departs from it: ")[1].split("Zero when: ")[0]
    assert all(one in departs for one in departures)


@pytest.mark.parametrize("name", MAKERS)
def test_the_class_describes_itself(name: str) -> None:
    maker = quick(name)
    assert maker.title
    assert maker.needs <= GRANTS["white_box"]
    for field in type(maker).model_fields.values():
        assert field.description
        assert field.description.endswith(".")
        closed = field.annotation is bool or get_origin(field.annotation) is Literal
        assert closed or len(field.metadata) >= 2, "a knob needs both bounds"


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", [SHAPE, (3, 12, 8)])
def test_images_are_new_detached_and_between_black_and_white(name: str, shape: tuple[int, ...]) -> None:
    maker = quick(name)
    place, _ = scene(access_of(maker), shape)
    shown = steps(maker, maker.build(place), place, COUNT, BATCH)
    for images in shown:
        assert images.shape == (BATCH, *shape)
        assert images.dtype == torch.float32
        assert not images.requires_grad
        assert images.abs().max() <= 1
    assert not any(torch.equal(shown[0], images) for images in shown[1:])


@pytest.mark.parametrize("name", MAKERS)
def test_images_are_a_function_of_the_seed(name: str) -> None:
    def made(seed: int) -> Tensor:
        maker = quick(name)
        place, _ = scene(access_of(maker), seed=seed)
        torch.manual_seed(5)
        return torch.stack(steps(maker, maker.build(place), place, COUNT, BATCH))

    assert torch.equal(made(3), made(3))
    assert not torch.equal(made(3), made(4))


@pytest.mark.parametrize("name", MAKERS)
def test_neither_network_is_changed(name: str) -> None:
    maker = quick(name)
    place, counting = scene(access_of(maker))
    before = [{n: t.clone() for n, t in one.state_dict().items()} for one in (counting.teacher, place.student)]
    steps(maker, maker.build(place), place, COUNT, BATCH)
    for one, kept in zip((counting.teacher, place.student), before, strict=True):
        assert all(torch.equal(tensor, kept[name]) for name, tensor in one.state_dict().items())
        assert all(weight.grad is None for weight in one.parameters())
    assert not any(weight.requires_grad for weight in counting.teacher.parameters())
    assert all(weight.requires_grad for weight in place.student.parameters())
    assert place.student.training
    assert not counting.teacher.training


@pytest.mark.parametrize("name", MAKERS)
def test_each_update_beside_the_student_is_told_with_its_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[str] = []
    learn = Making.learn
    monkeypatch.setattr(Making, "learn", lambda self, rule, *loss: (learned.append(rule), learn(self, rule, *loss)))
    maker = quick(name)
    place, _ = scene(access_of(maker))
    making = maker.build(place)
    steps(maker, making, place, 0)
    assert making.take() == []
    learned.clear()
    for step in range(COUNT):
        maker.images(making, place, BATCH, step)
    told = making.take()
    assert [next(iter(one)) for one in told] == learned
    assert bool(told) is (name in TOLD)
    for one in told:
        assert [key.removeprefix(f"{learned[0]}_") for key in one][1:] == TOLD[name]
        assert all(value.shape == () and value.isfinite() and not value.requires_grad for value in one.values())
        whole, *parts = one.values()
        assert not parts or torch.allclose(whole, torch.stack(parts).sum())
    assert making.take() == []


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_are_as_many_as_latents_and_the_same_each_time(name: str) -> None:
    maker = quick(name)
    place, _ = scene(access_of(maker))
    making = maker.build(place)
    steps(maker, making, place, COUNT, BATCH)
    latents = torch.randn(7, CLASSES)
    random = torch.get_rng_state()
    before = {n: t.clone() for n, t in making.state_dict().items()}
    samples = maker.sample(making, latents)
    assert samples.shape == (7, *SHAPE)
    assert torch.equal(samples, maker.sample(making, latents))
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(tensor, before[n]) for n, tensor in making.state_dict().items())


@pytest.mark.parametrize("name", SAMPLED)
def test_looking_in_between_changes_no_image(name: str) -> None:
    def made(looking: bool) -> Tensor:
        maker = quick(name)
        place, _ = scene(access_of(maker))
        making = maker.build(place)
        steps(maker, making, place, 0)
        shown = []
        for step in range(COUNT):
            shown.append(maker.images(making, place, BATCH, step))
            if looking:
                maker.sample(making, torch.randn(3, CLASSES))
        return torch.stack(shown)

    torch.manual_seed(0)
    quiet = made(False)
    torch.manual_seed(0)
    assert torch.equal(quiet, made(True))


@pytest.mark.parametrize("name", MAKERS)
def test_data_that_are_no_images_are_refused(name: str) -> None:
    maker = quick(name)
    place, _ = scene(access_of(maker))
    flat = place._replace(x=torch.zeros(20, 2, dtype=torch.uint8))
    with pytest.raises(BadInput, match="images") as caught:
        maker.build(flat)
    assert "\n" not in str(caught.value)
    assert "digits" in str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("access", list(GRANTS))
def test_access_that_grants_too_little_is_refused_with_others_named(name: str, access: str) -> None:
    teacher = {"data": {"name": "digits"}, "student": {"name": "cnn"}, "method": {"name": "ce"}}
    spec = {"student": {"name": "cnn"}, "source": {"name": name}, "teacher": teacher, "access": access}
    spec["method"] = {"name": "hard_label"}
    missing = SOURCES[name].needs - GRANTS[access]  # type: ignore[attr-defined,index]
    if not missing:
        assert parse(spec).source.name == name
        return
    with pytest.raises(BadInput, match=rf"Source '{name}' needs the teacher's .* choose another source") as caught:
        parse(spec)
    named = [other for other in MAKERS if f" {other}" in str(caught.value).split("such as")[1]]
    assert named
    assert all(SOURCES[other].needs <= GRANTS[access] for other in named)  # type: ignore[attr-defined,index]


@pytest.mark.parametrize("method", ["ce", "label_smoothing", "dml"])
def test_methods_of_true_labels_alone_are_refused_with_images_that_have_none(method: str) -> None:
    with pytest.raises(BadInput, match=f"'{method}' learns from true labels, but source 'noise' makes its images"):
        parse({"student": {"name": "cnn"}, "source": {"name": "noise"}, "method": {"name": method}})


def test_a_teacher_without_batch_norm_cannot_be_inverted_deeply() -> None:
    teacher = net(1)
    for block in teacher.blocks:
        for place, layer in enumerate(block):
            if isinstance(layer, torch.nn.BatchNorm2d):
                block[place] = torch.nn.Identity()
    here, _ = scene(teacher=teacher)
    with pytest.raises(BadInput, match="needs a teacher with batch norm") as caught:
        quick("deepinversion").build(here)
    assert "\n" not in str(caught.value)


def test_what_is_remembered_is_checkpointed() -> None:
    """Each tensor a source changes is in its module or its rules: a copy of those goes on with the same images."""
    for name in MAKERS:
        maker = quick(name)
        place, _ = scene(access_of(maker))
        making = maker.build(place)
        steps(maker, making, place, 3)
        again = maker.build(place)
        again.load_state_dict(making.state_dict())
        for rule in making.rules:
            again.rules[rule].load({n: t.clone() for n, t in making.rules[rule].state().items()})
        for step in range(3, 6):
            first, second = (maker.images(one, place, BATCH, step) for one in (making, again))
            assert torch.equal(first, second), name
