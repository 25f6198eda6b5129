"""How the Black box page speaks of an order: what each choice means, and what leaves the edge for it."""

from __future__ import annotations

from math import prod

from app.text.phrases import money, paid, quantity
from kdcore.blackbox.orders import Order, remote, sends_local
from kdcore.runs.bill import dollars
from kdcore.spec.catalogue import catalogue
from kdcore.spec.presets import grants, preset, presets, shows_local
from kdcore.spec.query_limits import learning, most, most_local, on_top
from kdcore.spec.registry import DATA
from kdcore.spec.spec import Spec, Wall

APART = ("image_folder",)  # data that need more than a name; the Lab and the command line take them
ACCESS = {
    "probabilities": "A probability for each class",
    "labels": "Only the predicted class",
    "logits": "Raw scores (logits)",
    "white_box": "White box (weights and gradients)",
}
MEANING = {
    "probabilities": "Each reply is a probability for each class.",
    "labels": "Each reply is one class, as with many web APIs.",
    "logits": "Each reply contains logits, which few APIs return.",
    "white_box": "Gradients are available and nothing is counted. For comparison only: no API offers this.",
}
MEASURE = {"nothing": "Nothing", "synthetic": "Synthetic images", "real": "Synthetic and real images"}
UNMEASURED = (
    "The student's accuracy on labelled held-out images needs no teacher. Agreement with the teacher and the teacher's "
    "own accuracy are not measured."
)
KINDS = {"maker": "synthetic images", "shown": "local images"}


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
        return "White box: nothing is sent and nothing is counted."
    measured = " For measuring, held-out and local images are sent too." if order.measure == "real" else ""
    simulated = "" if remote(order.service) else f" {SIMULATED}"
    return _learning(order) + measured + simulated


SIMULATED = (
    "This teacher runs on this machine and simulates an API: measurements on held-out images are not "
    "counted; a real API would receive those images."
)


def _learning(order: Order) -> str:
    """What leaves the edge to be learned from."""
    if preset(order.preset).kind == "local":
        return "Your local images are sent, each once."
    if shows_local(order.preset):
        return "Your local images are sent, unchanged or mixed."
    if sends_local(order):
        return "Synthetic images are sent, and your local images too."
    return "Only synthetic images are sent for learning; no local image is sent."


def measures(order: Order) -> str:
    """What measuring on a remote teacher sends, and what is not measured without."""
    if order.measure == "nothing":
        return UNMEASURED
    what = "Up to {looks:,} images are sent for measuring alone; they cost the same and count towards the budget."
    said = what.format(looks=Wall().looks)
    return f"{said} {UNMEASURED}" if order.measure == "synthetic" else f"{said} The teacher sees real images."


def costs(spec: Spec) -> str:
    """What asking will take at most, learning and measuring together, in a sentence or two; "" without a wall."""
    wall = spec.wall
    if wall is None:
        return ""
    asked = most(spec)
    if asked is None:
        said = f"Each query costs {money(dollars(1, wall.price))}; there is no budget, so no limit."
        return " ".join(filter(None, (said, _local(spec))))
    shape, _ = DATA[spec.data.name].model_validate(spec.data.knobs).signature()
    image_bytes = prod(shape) * (1 if wall.upload == "uint8" else 4)
    cost = paid(asked, dollars(asked, wall.price), wall.price)
    told = f"At most {cost}; {quantity(asked * image_bytes, 'B')} of images."  # and a few bytes of each request's own
    return " ".join(filter(None, (told, _measured(spec, asked), _local(spec), _besides(spec, asked))))


def _measured(spec: Spec, asked: int) -> str:
    """That some of the images may be for measuring alone; "" where none is, or nobody knows how many learning takes."""
    wanted = learning(spec)
    if wanted is None or wanted >= asked:
        return ""
    return f"Up to {wanted:,} of them are for learning, the others for measuring."


def _local(spec: Spec) -> str:
    """How many of the images a remote teacher is sent may be local ones; "" where none is, or they come on top."""
    count = most_local(spec)
    return f"Up to {count:,} of them are local (real) images." if count and not _besides(spec, most(spec) or 0) else ""


def _besides(spec: Spec, asked: int) -> str:
    """What the number leaves out, as nobody knows it before the data are read; "" where a budget limits it too."""
    if not on_top(spec) or (spec.wall and spec.wall.budget == asked):
        return ""
    return "Local images are sent in addition, each once."


def steps(order: Order, spec: Spec) -> str:
    """How long it takes, in steps, and how far that is from what was published."""
    mekd = preset(order.preset).kind == "mekd"
    lead = spec.steps - spec.schedule.steps
    first = f"{lead:,} steps of the {'generator' if mekd else 'image source'}, then " if lead else ""
    said = f"{first}{spec.schedule.steps:,} steps of the student with {spec.schedule.batch} images each."
    if not order.quick:
        if spec.teacher:
            said += f" {spec.teacher.schedule.steps:,} steps of the teacher come first, unless it is already trained."
        said += " On two CPU cores this takes hours, with large images days."
    elif mekd:
        said += " The paper uses many more steps, small initial weights, and SGD for the student."
    return said
