"""A small scene for a source that makes images: two networks, and a teacher that counts what it is asked."""

import torch
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.engine.teacher_access import granted
from kdcore.generation.networks import Making
from kdcore.generation.source import Maker, Scene
from kdcore.models.cnn import CNN
from kdcore.spec.registry import SOURCES

SHAPE, CLASSES = (1, 8, 8), 4
QUICK: dict[str, dict[str, object]] = {  # knobs with which a source does all it does within a few steps
    "mekd": {"steps": 3, "real": 4, "width": 8},
    "noise": {},
    "dfme": {"latent": 5, "width": 8, "student_steps": 2, "directions": 3, "retain": 0.25},
    "dfad": {"latent": 5, "width": 8, "student_steps": 2, "retain": 0.25},
    "zskt": {"latent": 5, "width": 8, "student_steps": 2, "generator_steps": 2, "retain": 0.25},
    "dafl": {"latent": 5, "width": 8, "retain": 0.25},
    "ideal": {"latent": 5, "width": 8, "updates": 2, "made": 6, "every": 2, "pool": 10},
    "dfhl_rs": {"latent": 5, "width": 8, "updates": 2, "made": 6, "every": 2, "pool": 10, "climbs": 2},
    "zo_inversion": {"latent": 5, "width": 8, "updates": 2, "made": 4, "pool": 6, "directions": 2},
    "deepinversion": {"updates": 3, "made": 4, "pool": 6, "compete": 1.0},
}
MAKERS = [name for name in SOURCES if issubclass(SOURCES[name], Maker)]
SAMPLED = [name for name in MAKERS if SOURCES[name].sample is not Maker.sample]  # type: ignore[attr-defined]


def quick(name: str) -> Maker:
    """A source with few steps; new ones take their defaults."""
    maker = SOURCES[name](**QUICK.get(name, {}))
    assert isinstance(maker, Maker)
    return maker


def net(seed: int, shape: tuple[int, ...] = SHAPE) -> Net:
    torch.manual_seed(seed)
    made = CNN(width=4).build(shape, CLASSES)
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after training, so that eval and training differ
            torch.nn.init.normal_(layer.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return made


class Counting:
    """A teacher as a scene asks it, which remembers every question."""

    def __init__(self, teacher: Net, access: Access) -> None:
        self.teacher, self.access = teacher, access
        self.asked: list[Tensor] = []
        self.local = 0

    @torch.no_grad()
    def __call__(self, inputs: Tensor, local: bool) -> Outputs:
        self.asked.append(inputs)
        self.local += local * len(inputs)
        return Outputs(granted(self.teacher(inputs), self.access).logits, ())

    @property
    def questions(self) -> int:
        return sum(map(len, self.asked))


def access_of(maker: Maker) -> Access:
    """The narrowest grade that grants what a source needs."""
    return next(
        access
        for access, wanted in (
            ("labels", {"labels"}),
            ("probabilities", {"labels", "probabilities"}),
            ("white_box", {}),
        )
        if access == "white_box" or maker.needs <= set(wanted)
    )


def scene(
    access: Access = "white_box", shape: tuple[int, ...] = SHAPE, seed: int = 0, teacher: Net | None = None
) -> tuple[Scene, Counting]:
    """A scene and the teacher that is asked in it."""
    teacher = (teacher or net(1, shape)).eval().requires_grad_(False)
    counting = Counting(teacher, access)
    x = torch.randint(256, (20, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(9))
    student = net(2, shape).train()
    made = Scene(
        x=x, classes=CLASSES, seed=seed, access=access, inputs=lambda images: images * 1.5 + 0.25, ask=counting,
        student=student, teacher_net=teacher if access == "white_box" else None,
    )  # fmt: skip
    return made, counting


def steps(maker: Maker, making: Making, scene: Scene, count: int, batch: int = 4) -> list[Tensor]:
    """The lead, and the images of the first steps of a student."""
    for step in range(maker.lead):
        maker.learn(making, scene, step)
    return [maker.images(making, scene, batch, step) for step in range(count)]
