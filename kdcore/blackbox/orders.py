"""What the Black box page asks for, in a dozen plain words, and the run that comes of it. No torch is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, pi, prod, sqrt
from typing import Any, Literal

from pydantic import Field, ValidationError

from kdcore.contracts.access import Access
from kdcore.errors import BadInput, sentence
from kdcore.frozen import FrozenModel
from kdcore.spec.catalogue import check_knobs, entry, reads
from kdcore.spec.lineage import recommended
from kdcore.spec.presets import OWN, grants, pools, preset, presets, shows_local, source_of
from kdcore.spec.query_limits import led
from kdcore.spec.registry import DATA
from kdcore.spec.schedule import Json, Schedule
from kdcore.spec.spec import Choice, Measure, Spec, Wall

UNLABELLED: dict[str, Json] = {"label_fraction": 0.0}
WORSE = ("top", "digits", "noise")  # what only probabilities can suffer
WALLED = (*WORSE, "upload", "price", "budget", "measure")  # what an order and a wall have in common
LEVELS = 255  # steps of a byte from black to white, which lie 2 apart for a source
ACCESSES = {"white_box": "inside", "logits": "logits", "probabilities": "probabilities", "labels": "labels"}
QUICK = Schedule(steps=800, batch=128, optimizer="adam", lr=2e-3, weight_decay=0.0)
# Published with MEKD for 6,000 local images: 200 epochs of 64 for the generator, 240 epochs of 500 batches for the
# student, 240 epochs for the teacher, ResNet32 to ResNet8.
PUBLISHED = Schedule(steps=120_000, batch=128, lr=0.1, decay="step", milestones=(1 / 3, 2 / 3))
PUBLISHED_LEAD, PUBLISHED_TEACHER, PUBLISHED_RATE = 18_800, 100_000, 2e-4
LIGHT = Choice(name="cnn", knobs={"width": 8})  # the edge's network where the data recommend one without convolutions


class Order(FrozenModel):
    """What is wanted: whose teacher, what it tells, what may be asked, and how the student learns."""

    data: str = Field("digits", title="Data set", description="What the teacher knows and the student is to learn.")
    taught: str = Field(
        "",
        title="Teacher trained on",
        description="Other data that the teacher learned from, of the same shape; empty: the same.",
    )
    service: Choice | None = None  # somebody else's teacher; None trains one here
    access: Access = Field(
        "probabilities", title="Teacher output", description="What the teacher returns for an image."
    )
    preset: str = Field(
        "quick", title="Distillation preset", description="What makes the images that the teacher is asked about."
    )
    share: float = Field(
        0.1,
        title="Share of local images",
        gt=0.0,
        le=1.0,
        description="Share of the training images that the edge owns, unlabelled.",
    )
    local: bool = Field(
        False,
        title="Local images may be sent to the teacher",
        description="Whether the edge's own images may be sent to the teacher.",
    )
    pool: int = Field(
        0,
        title="Pool size: synthetic images reused",
        ge=0,
        le=1_000_000,
        description="Images made and asked about once, then reused; 0: always new.",
    )
    budget: int = Field(
        0,
        title="Query budget (images)",
        ge=0,
        le=10**9,
        description="Most images that may be sent; 0 sets no limit.",
    )
    price: float = Field(
        1.0, title="Price per 1,000 images, in $", ge=0.0, le=1e6, description="Price per 1,000 images, in $."
    )
    measure: Measure = Field(
        "nothing",
        title="Also send for measuring",
        description="What may be sent to a remote teacher for measuring alone, such as its agreement with the student. "
        "Real images are local and held-out ones.",
    )
    top: int = Field(
        0,
        title="Only the largest probabilities",
        ge=0,
        le=1000,
        description="How many of the largest probabilities it tells; 0 tells all.",
    )
    digits: int = Field(
        0,
        title="Rounded to decimals",
        ge=0,
        le=8,
        description="Decimals its probabilities are rounded to; 0 leaves them be.",
    )
    noise: float = Field(
        0.0,
        title="Noise on probabilities",
        ge=0.0,
        le=1.0,
        description="Standard deviation of noise on its probabilities.",
    )
    upload: Literal["float32", "uint8"] = Field(
        "float32", title="Values are sent as", description="Data type in which pixel values are sent."
    )
    quick: bool = Field(
        True,
        title="Steps and networks for two cores",
        description="Steps and networks for two cores; off: those published.",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of generator and student; the teacher keeps its own.")


def sends_local(order: Order) -> bool:
    """Whether images of the edge's own leave it to be learned from."""
    return shows_local(order.preset) or (order.local and preset(order.preset).source.get("align") == "self")


# From an order to a run


def spec(order: Order) -> Spec:
    """The run that an order asks for.

    Raises:
        BadInput: its parts do not go together.
    """
    _agree(order)
    base = recommended(order.data, "kd", seed=order.seed)
    assert base.teacher is not None
    known = recommended(order.taught, "kd").teacher if order.taught else base.teacher
    assert known is not None
    root = known if order.quick else _published(known)
    asked: dict[str, Any] = {
        "data": Choice(name=order.data, knobs=base.teacher.data.knobs | {"train_fraction": order.share} | UNLABELLED),
        "source": _source(order),
        "method": _method(order),
        "student": _student(base, order),
        "access": order.access,
        "wall": _wall(order),
        "schedule": QUICK if order.quick else PUBLISHED,
        "seed": order.seed,
    }
    asked |= {"service": order.service} if order.service else {"teacher": root}
    return _affordable(Spec(**asked))


def title(name: str) -> str:
    """What the form calls a setting of an order."""
    return Order.model_fields[name].title or name


def _option(name: str) -> str:
    """A preset as the form shows it, and its name for a command line."""
    return f"{preset(name).title} ({name})"


def parse(values: Mapping[str, Any]) -> Order:
    """An order from plain values.

    Raises:
        BadInput: one sentence on the first thing that is wrong.
    """
    try:
        return Order.model_validate(dict(values))
    except ValidationError as error:
        raise sentence(error, "The order") from error


def _agree(order: Order) -> None:
    """The preset has what it needs, and nothing that was asked for goes without effect."""
    one = preset(order.preset)
    if not grants(order.preset, order.access):
        fitting = [name for name in presets() if grants(name, order.access)]
        raise BadInput(
            f"{one.title} needs more than the teacher's {ACCESSES[order.access]}; let it tell more, or choose another, "
            f"such as {', '.join(map(_option, fitting[:5]))}."
        )
    if shows_local(order.preset) and not order.local:
        raise BadInput(
            f"{one.title} sends the edge's own images to the teacher, and the order does not allow that; turn on "
            f"{title('local')!r}, or choose what makes its images, such as {_option('quick')}."
        )
    if order.pool and not pools(order.preset):
        raise BadInput(
            f"{one.title} makes no pool of images; set {title('pool')!r} to 0, or choose {_option('quick')} or "
            f"{_option('paper')}."
        )
    if order.measure != "nothing" and not remote(order.service):
        raise BadInput(
            "Only a remote teacher needs permission to be sent images for measuring, but this one runs on this "
            f"machine; set {title('measure')!r} to nothing."
        )
    worse = [name for name in WORSE if getattr(order, name)]
    if worse and order.access != "probabilities":
        raise BadInput(
            f"Only probabilities can be cut, rounded or noised, but the teacher returns {ACCESSES[order.access]}; set "
            f"{' and '.join(repr(title(name)) for name in worse)} to 0."
        )


def remote(service: Choice | None) -> bool:
    """Whether a teacher is asked over a network; images of any other one's do not leave this machine."""
    return service is not None and bool(entry("teacher", service.name)["remote"])


def _wall(order: Order) -> Wall | None:
    """How the teacher is asked; a white box stands behind none."""
    if order.access == "white_box":
        return None
    return Wall(**{name: getattr(order, name) for name in WALLED})


def _source(order: Order) -> Choice:
    one = preset(order.preset)
    if one.kind == "local":
        return Choice(name="data")  # unaugmented, so that each image is asked about once
    knobs = dict(one.source) | ({"pool": order.pool} if order.pool else {})
    if one.source.get("align") == "self" and order.local:
        knobs["align"] = "local"
    if order.pool and knobs.get("align") == "none":
        knobs["information"] = "none"  # it would ask about new images in each step of the generator
    if one.kind == "mekd":  # the published first weights and batch norm learn little in few steps
        knobs |= {"nets": "usual"} if order.quick else {"steps": PUBLISHED_LEAD, "lr": PUBLISHED_RATE}
    return Choice(name=source_of(order.preset), knobs=knobs)


def _method(order: Order) -> Choice:
    """The preset's method; on images of other sources plain distillation, or the teacher's choices alone."""
    one = preset(order.preset)
    if one.kind == "mekd":
        return Choice(name=OWN, knobs=dict(one.method))
    if one.kind == "local":
        weighs = "label_weight" in entry("method", order.preset)["schema"].get("properties", {})
        return Choice(name=order.preset, knobs={"label_weight": 0.0} if weighs else {})
    if order.access == "labels":
        return Choice(name="hard_label")
    return Choice(name="kd", knobs={"label_weight": 0.0, "kd_weight": 1.0})


def _student(base: Spec, order: Order) -> Choice:
    """The edge's network: the one that the data recommend, or a small one with convolutions where it has none."""
    shape = entry("data", order.data)["shape"]
    if not order.quick and reads("resnet", shape):
        return Choice(name="resnet", knobs={"variant": "8"})
    return LIGHT if base.student.name == "mlp" and reads(LIGHT.name, shape) else base.student


def _published(teacher: Spec) -> Spec:
    """The teacher as published with MEKD, where a residual network reads the data."""
    if not reads("resnet", entry("data", teacher.data.name)["shape"]):
        return teacher
    schedule = PUBLISHED.model_copy(update={"steps": PUBLISHED_TEACHER})
    return teacher.model_copy(update={"student": _spelled("resnet", {"variant": "32"}), "schedule": schedule})


def _spelled(name: str, knobs: dict[str, Json]) -> Choice:
    return Choice(name=name, knobs=check_knobs("model", name, knobs))


def drowned(asked: Spec) -> str:
    """One sentence where rounding hides most of what a source probes; "" elsewhere.

    A step of length mu in a direction uniform on the sphere moves each of d values by mu * sqrt(2 / (pi d)) on average.
    Where that is half of what lies between two bytes, rounding leaves about half of the values as they were.
    """
    source = entry("source", asked.source.name)
    knob = source["probes"]
    if not knob or asked.wall is None or asked.wall.upload != "uint8":
        return ""
    shape, _ = DATA[asked.data.name].model_validate(asked.data.knobs).signature()
    reach, moves = float(str(asked.source.knobs[knob])), LEVELS / 2 * sqrt(2 / (pi * prod(shape)))
    if reach * moves >= 0.5:
        return ""
    return (
        f"Sent as uint8, most of what {source['title']} probes is lost in rounding: its step of {reach:g} moves a "
        f"value by {reach * moves:.2g} of {LEVELS} levels on average; set {title('upload')!r} to float32, or set its "
        f"{knob} to {ceil(500 / moves) / 1000:g} or more."
    )


def _affordable(asked: Spec) -> Spec:
    """The run, where its budget leaves the student something to ask.

    Raises:
        BadInput: the generator's own steps would use it up.
    """
    budget = asked.wall.budget if asked.wall else 0
    if budget and asked.source.name == OWN and (before := led(asked)) >= budget:
        raise BadInput(
            f"The generator alone asks about {before:,} images before the student's first step, which the budget of "
            f"{budget:,} does not leave room for; raise {title('budget')!r}, or take {_option('paper')} with "
            f"{title('pool')!r}, which is then all that is asked about."
        )
    return asked
