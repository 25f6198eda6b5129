"""How the Black box page speaks of an order: what each choice means, and what leaves the edge for it."""

from __future__ import annotations

from math import prod

from app.words import quantity
from kdcore.catalogue import catalogue, entry
from kdcore.orders import Order, questions, sends_local
from kdcore.presets import grants, preset, presets, shows_local
from kdcore.spec import Spec

APART = ("image_folder",)  # data that need more than a name; the Lab and the command line take them
ACCESS = {
    "probabilities": "A probability for each class",
    "labels": "Only the class it would choose",
    "logits": "Raw scores (logits)",
    "white_box": "Everything inside: no wall",
}
MEANING = {
    "probabilities": "Each answer says how sure the teacher is of every class.",
    "labels": "Each answer is one class, as from many services on the web.",
    "logits": "Each answer holds raw scores, which few services tell.",
    "white_box": "Gradients pass and nothing is counted. Only to compare with: no cloud gives this away.",
}
KINDS = {"maker": "made images", "shown": "local images"}


def data_sets() -> list[str]:
    """Images of which a generator can make more: their sides are multiples of 4."""
    return [name for name, one in catalogue()["data"].items() if name not in APART and _makeable(one["shape"])]


def _makeable(shape: list[int]) -> bool:
    return len(shape) == 3 and shape[1] % 4 == shape[2] % 4 == 0


def options(order: Order) -> list[str]:
    """The presets that the teacher's answers are enough for."""
    return [name for name in presets() if grants(name, order.access)]


def option(name: str) -> str:
    """A preset as it reads in the list."""
    one = preset(name)
    if one.kind != "maker":
        return one.title
    return f"{one.title} · {KINDS['shown' if shows_local(name) else 'maker']}"


def leaves(order: Order) -> str:
    """What leaves the edge, in one sentence."""
    if order.access == "white_box":
        return "There is no wall, so nothing is sent and nothing counted."
    if preset(order.preset).kind == "local":
        return "The edge's own images leave it, each once."
    if shows_local(order.preset):
        return "Images of the edge's own leave it, as they are or mixed."
    if sends_local(order):
        return "Made images leave the edge, and its own images too."
    return "Only made images leave the edge; none of its own is sent."


def costs(order: Order, spec: Spec) -> str:
    """What asking will take at most, in one sentence; "" where there is no wall."""
    if spec.wall is None:
        return ""
    asked = questions(spec) or spec.wall.budget
    if not asked:
        return "The meter counts what is asked; a budget would set a limit."
    image_bytes = prod(entry("data", order.data)["shape"]) * (1 if order.upload == "uint8" else 4)
    price = f", for {asked / 1000 * order.price:,.2f}" if order.price else ""
    return f"At most {asked:,} images are asked about: {quantity(asked * image_bytes, 'B')} up{price}."


def steps(order: Order, spec: Spec) -> str:
    """How long it takes, in steps, and how far that is from what was published."""
    lead = int(str(spec.source.knobs["steps"])) if preset(order.preset).kind == "mekd" else 0
    first = f"{lead:,} steps of the generator, then " if lead else ""
    said = f"{first}{spec.schedule.steps:,} steps of the student with {spec.schedule.batch} images each."
    if not order.quick:
        if spec.teacher:
            said += f" {spec.teacher.schedule.steps:,} steps of the teacher come first, unless it is there already."
        said += " On two cores that takes hours, with large images days."
    elif lead:
        said += " Published were many more, small first weights, and SGD for the student."
    return said
