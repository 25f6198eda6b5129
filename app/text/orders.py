"""How the Black box page speaks of an order: what each choice means, and what leaves the edge for it."""

from __future__ import annotations

from math import prod

from app.text.phrases import money, paid, quantity
from kdcore.blackbox.orders import Order, remote, sends_local
from kdcore.runs.bill import dollars
from kdcore.spec.catalogue import catalogue
from kdcore.spec.presets import grants, preset, presets, shows_local
from kdcore.spec.query_limits import learning, most, on_top
from kdcore.spec.registry import DATA
from kdcore.spec.spec import Spec, Wall

APART = ("image_folder",)  # data that need more than a name; the Lab and the command line take them
ACCESS = {
    "probabilities": "A probability for each class",
    "labels": "Only the class it would choose",
    "logits": "Raw scores (logits)",
    "white_box": "Everything inside: no wall",
}
MEANING = {
    "probabilities": "Each answer says how sure the teacher is of its classes.",
    "labels": "Each answer is one class, as from many services on the web.",
    "logits": "Each answer holds raw scores, which few services tell.",
    "white_box": "Gradients pass and nothing is counted. Only to compare with: no cloud gives this away.",
}
MEASURE = {"nothing": "Nothing", "synthetic": "Synthetic images", "real": "Synthetic and real images"}
UNMEASURED = (
    "The student's accuracy on labelled held-out images needs no teacher. Agreement with the teacher and the teacher's "
    "own accuracy are not measured."
)
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
    measured = " For measuring, held-out and local images are sent too." if order.measure == "real" else ""
    simulated = "" if remote(order.service) else f" {SIMULATED}"
    return _learning(order) + measured + simulated


SIMULATED = (
    "This teacher runs on this machine and stands for a cloud: what the page measures on held-out images is not "
    "counted, and a real cloud would have seen those images."
)


def _learning(order: Order) -> str:
    """What leaves the edge to be learned from."""
    if preset(order.preset).kind == "local":
        return "The edge's own images are sent, each once."
    if shows_local(order.preset):
        return "The edge's own images are sent, as they are or mixed."
    if sends_local(order):
        return "Synthetic images are sent, and the edge's own images too."
    return "Only synthetic images are sent to learn from; none of the edge's own."


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
        return f"Each query costs {money(dollars(1, wall.price))}; there is no budget, so no limit."
    shape, _ = DATA[spec.data.name].model_validate(spec.data.knobs).signature()
    image_bytes = prod(shape) * (1 if wall.upload == "uint8" else 4)
    cost = paid(asked, dollars(asked, wall.price), wall.price)
    told = f"At most {cost}; {quantity(asked * image_bytes, 'B')} of images."  # and a few bytes of each request's own
    return " ".join(filter(None, (told, _measured(spec, asked), _besides(spec, asked))))


def _measured(spec: Spec, asked: int) -> str:
    """That some of the images may be for measuring alone; "" where none is, or nobody knows how many learning takes."""
    wanted = learning(spec)
    if wanted is None or wanted >= asked:
        return ""
    return f"Up to {wanted:,} of them are to learn from, the others for measuring."


def _besides(spec: Spec, asked: int) -> str:
    """What the number leaves out, as nobody knows it before the data are read; "" where a budget limits it too."""
    if not on_top(spec) or (spec.wall and spec.wall.budget == asked):
        return ""
    return "The edge's own images come on top, each once."


def steps(order: Order, spec: Spec) -> str:
    """How long it takes, in steps, and how far that is from what was published."""
    mekd = preset(order.preset).kind == "mekd"
    lead = spec.steps - spec.schedule.steps
    first = f"{lead:,} steps of the {'generator' if mekd else 'source'}, then " if lead else ""
    said = f"{first}{spec.schedule.steps:,} steps of the student with {spec.schedule.batch} images each."
    if not order.quick:
        if spec.teacher:
            said += f" {spec.teacher.schedule.steps:,} steps of the teacher come first, unless it is there already."
        said += " On two cores that takes hours, with large images days."
    elif mekd:
        said += " Published were many more, small first weights, and SGD for the student."
    return said
