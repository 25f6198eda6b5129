"""What a source that makes its images makes of them: pictures, inversions, cells of the latent plane, and how good.

Nothing here changes a weight, a mode or a random number of the run. The teacher is only looked at, never asked as
learning asks. Of a service each look is one of those its wall grants: while the generator still learns only the
pictures on the wall are looked at, later the rest, on a coarser plane; and nothing is looked at for those who watch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.contracts.access import Access
from kdcore.contracts.outputs import Outputs
from kdcore.engine.copy_test import CopyDistances, CopyTest
from kdcore.engine.measure import Arrays, Probe, answers
from kdcore.engine.sample_metrics import FixedFeatures, frechet, sliced_wasserstein
from kdcore.generation.networks import Making
from kdcore.generation.source import Maker, Scene
from kdcore.seeding import mix

PICTURES = 36  # on the wall
LATENTS = 128  # of which the first make the pictures
TELLING = 8  # images by which a generator is known to be as it was
INVERTED = 12  # probe rows whose answers are shown as images
CYCLED = 128  # probe rows whose answers go through the generator and back to the teacher
LOCAL = 18  # local images beside the pictures
COMPARED = 500  # local images whose features are compared with those of synthetic ones
JUDGED = 512  # synthetic images that are searched for copies once the generator is at rest; LATENTS until then
FINE, COARSE = 24, 10  # points along a side of the latent plane; coarse while it is dear
MARGIN = 0.75  # of the plane around its three anchors, in lengths of their box
CHUNK = 144  # images in one pass

Look = Callable[[Tensor, bool], Outputs | None]  # inputs, and whether they are real images


class GeneratorMetrics:
    """The eyes on one run's source.

    Args:
        source, making, scene: the source, its networks, and what it may use.
        probe: the fixed rows, and the student.
        lead: steps of the source before the student's first.
        look: answers for those who measure; None where the run has no teacher to look at.
        paid: whether each look is counted.
        held: (M, K, H, W) uint8, images the source has not seen.
    """

    def __init__(
        self, source: Maker, making: Making, scene: Scene, probe: Probe, lead: int, look: Look | None, paid: bool,
        held: Tensor,
    ) -> None:  # fmt: skip
        self.source, self.making, self.scene, self.probe = source, making, scene, probe
        self.lead, self.look, self.paid = lead, look, paid
        self.shown: Tensor | None = None  # what a source showed last; for those that have no `sample`
        self.samples = type(source).sample is not Maker.sample
        chance = torch.Generator().manual_seed(mix(scene.seed, 0, salt=60))
        self.latents = torch.randn(LATENTS, scene.classes, generator=chance).to(scene.x.device)
        self.local, self.held = scene.x[torch.randperm(len(scene.x), generator=chance)[:COMPARED]], held
        self.more = torch.randn(JUDGED - LATENTS, scene.classes, generator=chance).to(scene.x.device)
        self.features = FixedFeatures(scene.x.shape[1]).to(scene.x.device)
        self.told = look(probe.normalise(probe.x), True) if look else None
        self.anchors = anchors(self.told.logits) if self.told and self.samples and source.inverts else None
        self.last: Arrays = {}
        self.known: dict[str, tuple[Tensor, Arrays]] = {}
        self.plane = self.latents[:0]

    @property
    def static(self) -> Arrays:
        """What does not change: some local images, and where the corners of the plane lie."""
        arrays = {"local_x": self.scene.x[:LOCAL].cpu().numpy()}
        if self.anchors is None:
            return arrays
        classes, corners = self.anchors
        places = flat(corners)
        return arrays | {
            "cells_classes": classes.cpu().numpy(),
            "cells_corners": places.cpu().numpy(),
            "cells_extent": extent(places).cpu().numpy(),
        }

    @torch.no_grad()
    def arrays(self, step: int, student_logits: Tensor, recorded: bool) -> Arrays:
        """Return what is to be seen at a step, and numbers worth following as note_<name>.

        Args:
            student_logits: (N, C), the student's answers to the probe rows.
            recorded: whether this belongs to the record; others see what was recorded last where looks are paid.
        """
        if self.paid and not recorded:
            return self.last
        whole = not self.paid or step > self.lead > 0
        with _as_it_was(self.making):
            self.last = self._looked(step, student_logits, whole)
        return self.last | self._distance(student_logits)

    def _images(self, count: int) -> Tensor | None:
        """Images of the first fixed latents, or what was shown last."""
        if not self.samples:
            return None if self.shown is None else self.shown[:count].float()
        return self._sampled(self.latents[:count])

    def _sampled(self, latents: Tensor) -> Tensor:
        return torch.cat([self.source.sample(self.making, part) for part in torch.split(latents, CHUNK)])

    def _looked(self, step: int, student_logits: Tensor, whole: bool) -> Arrays:
        """All that hangs on the generator; what the same pictures led to is not measured twice."""
        pictures = self._images(TELLING)
        if pictures is None:
            return {}
        rests = step > self.lead > 0
        judged = self._once(f"pictures {whole} {rests}", pictures, lambda: self._judged(whole, rests))
        return judged | self._inverted(student_logits, whole) | self._cells(step, pictures, whole)

    def _judged(self, whole: bool, rests: bool) -> Arrays:
        """Return the wall of pictures, what the teacher says of them, and how they compare with local images."""
        images = self._images(LATENTS)
        assert images is not None
        pixels = _bytes(images)
        more = _bytes(self._sampled(self.more)) if rests and self.samples else pixels[:0]
        real, made = (self.features(shown.float() / 127.5 - 1) for shown in (self.local, pixels))
        arrays = {
            "made_x": pixels[:PICTURES],
            "note_frechet": torch.tensor(frechet(real, made)),
        } | self._copied(torch.cat([pixels, more]))
        told = self._told(images if whole else images[:PICTURES])
        if told is not None:
            latents = self.latents[: len(told)] if self.samples and self.source.inverts else None
            arrays |= {"made_logits": told[:PICTURES]} | coverage(told, latents, self.scene.access)
        return _arrays(arrays)

    def _copied(self, pixels: Tensor) -> dict[str, Tensor]:
        """Whether synthetic images (N, K, H, W) uint8 copy local ones; {} where too few are held out to say."""
        return copy_facts(self.copying(pixels), self.scene.x, self.held) if self.copying else {}

    @cached_property
    def copying(self) -> CopyTest | None:
        """The test, prepared when it is first needed."""
        return CopyTest(self.scene.x, self.held) if len(self.held) > 1 else None

    def _inverted(self, student_logits: Tensor, whole: bool) -> Arrays:
        """Return the teacher's and the student's answers to probe rows as images."""
        if not self.source.inverts or self.told is None:
            return {}
        asked = self.told.logits
        theirs = self.source.invert(self.making, asked[:INVERTED])
        ours = self.source.invert(self.making, student_logits[:INVERTED].to(asked.device))
        arrays = {"inverse_teacher": _bytes(theirs), "inverse_student": _bytes(ours)}
        if not self.paid and (told := self._told(ours)) is not None:
            arrays["inverse_student_logits"] = told
        back = self._once("cycle", theirs, lambda: self._back(asked[:CYCLED])) if whole else {}
        return _arrays(arrays) | back

    def _back(self, asked: Tensor) -> Arrays:
        """Whether the teacher gives the answers `asked` (N, C) again where it sees their images."""
        told = self._told(self.source.invert(self.making, asked))
        if told is None:
            return {}
        same, rows = (told.argmax(1) == asked.argmax(1)).double(), torch.tensor(len(told))
        return _arrays({"inverse_teacher_logits": told[:INVERTED], "note_cycle": same.mean(), "note_cycle_rows": rows})

    def _cells(self, step: int, pictures: Tensor, whole: bool) -> Arrays:
        """Which class teacher and student see all over the plane through three corners; row 0 is its lower edge."""
        if self.anchors is None or not whole:
            return {}
        side = FINE if step > self.lead > 0 and not self.paid else COARSE
        latents = grid(self.anchors[1], side)
        theirs = self._once(f"cells {side}", pictures, lambda: self._named(latents, side))
        ours = answers(self.probe.student, self.plane, self.scene.inputs).argmax(1)
        return {**theirs, **_square("cells_student", ours, side)} if theirs else {}

    def _named(self, latents: Tensor, side: int) -> Arrays:
        """Return the teacher's classes of the plane, whose images are kept for the student."""
        self.plane = self._sampled(latents)
        told = self._told(self.plane)
        return {} if told is None else _square("cells_teacher", told.argmax(1), side)

    def _distance(self, student_logits: Tensor) -> Arrays:
        """How far the answers to the probe rows are from one another as distributions."""
        if self.told is None:
            return {}
        theirs, ours = (shares(logits, self.scene.access) for logits in (self.told.logits, student_logits))
        return _arrays({"note_sliced_wasserstein": torch.tensor(sliced_wasserstein(theirs, ours.to(theirs.device)))})

    def _told(self, images: Tensor) -> Tensor | None:
        """Return the teacher's logits for images; None where there is no more to look at."""
        real = self.source.local
        parts = torch.split(images, CHUNK)
        found = [self.look(self.scene.inputs(part), real) if self.look else None for part in parts]
        told = [one.logits for one in found if one is not None]
        return torch.cat(told) if len(told) == len(found) else None

    def _once(self, name: str, images: Tensor, measure: Callable[[], Arrays]) -> Arrays:
        """Return what was measured of the same images the last time, so that a generator at rest costs nothing."""
        seen, found = self.known.get(name, (None, {}))
        if seen is None or not torch.equal(seen, images):
            found = measure()
            self.known[name] = images, found
        return found


def copy_facts(found: CopyDistances, local: Tensor, held: Tensor) -> dict[str, Tensor]:
    """Return what the copies test found, as arrays and notes, with the local (M, ...) and the held-out images (L, ...).

    A share of copies that the test finds is absent where it finds none.
    """
    ours, others = found.nearest
    notes = {
        "copies_judged": len(found.local),
        "copies_held": len(held),
        "copies_local": len(local),
        "copies_matched": int(found.matches.sum()),
        "copies_twins": found.twins,
        "copies_references": found.references,
        "copies_closer": found.closer,
        "copies_closer_p": found.p_closer,
        "copies_p": found.p_sign,
        "copies_nearest": ours + others,
        "nearer_local": ours / (ours + others),
    }
    finds = {"copies_finds_exact": found.finds_exact, "copies_finds": found.finds_altered}
    notes |= {name: share for name, share in finds.items() if isfinite(share)}
    arrays = {"made_to_local": found.local, "made_to_held": found.held, "made_copied": found.matches | found.same}
    arrays["nearest_real"] = torch.tensor(found.nearest)
    return arrays | {f"note_{name}": torch.tensor(value, dtype=torch.double) for name, value in notes.items()}


def coverage(told: Tensor, latents: Tensor | None, access: Access) -> dict[str, Tensor]:
    """Return what a sample of made images covers, from the teacher's logits (N, C).

    "class_entropy" in nats of the classes the teacher names, at most ln C; "confidence" the mean of its largest
    probability, unknown where it tells labels only; "argmax_inverse" the share of latents (N, C) whose largest
    coordinate is the class of their image, and "argmax_inverse_rows" how many these are, where there are latents.
    """
    classes = told.argmax(1)
    counts = F.one_hot(classes, told.shape[1]).double().mean(0)
    notes = {"note_class_entropy": torch.special.entr(counts).sum()}
    if access != "labels":
        notes["note_confidence"] = told.softmax(1).amax(1).double().mean()
    if latents is not None:
        notes["note_argmax_inverse"] = (classes == latents.argmax(1)).double().mean()
        notes["note_argmax_inverse_rows"] = torch.tensor(len(latents))
    return notes


def shares(logits: Tensor, access: Access) -> Tensor:
    """Answers (N, C) as an interface of that grade tells them: probabilities, or one-hot labels."""
    return F.one_hot(logits.argmax(1), logits.shape[1]).double() if access == "labels" else logits.double().softmax(1)


def anchors(told: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the first three classes the teacher names (3,), and latents (3, C) that answers of such a class point to.

    Each is the mean of the centred answers of that class, at the length sqrt(C) that latents from N(0, I) have.
    """
    centred, classes = told.float() - told.float().mean(1, keepdim=True), told.argmax(1)
    named = sorted(set(classes.tolist()))[:3]
    if len(named) < 3:
        return None
    means = torch.stack([centred[classes == one].mean(0) for one in named])
    return torch.tensor(named), F.normalize(means) * told.shape[1] ** 0.5


def _axes(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return the middle of three latents (3, C), and two perpendicular directions (2, C) of their plane, the first
    along the first side.
    """
    across = F.normalize(corners[1] - corners[0], dim=0)
    side = corners[2] - corners[0]
    return corners.mean(0), torch.stack([across, F.normalize(side - (side @ across) * across, dim=0)])


def flat(corners: Tensor) -> Tensor:
    """Return the corners (3, 2) on their plane."""
    middle, axes = _axes(corners)
    return (corners - middle) @ axes.T


def extent(flat: Tensor) -> Tensor:
    """x0, x1, y0, y1 of a square around the corners."""
    low, high = flat.amin(0), flat.amax(0)
    half, middle = (high - low).max() * (0.5 + MARGIN / 2), (low + high) / 2
    return torch.stack([middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half])


def grid(corners: Tensor, side: int) -> Tensor:
    """Latents (side * side, C) in the middles of the plane's cells, the lowest row first."""
    middle, axes = _axes(corners)
    x0, x1, y0, y1 = extent(flat(corners)).tolist()
    share = (torch.arange(side, device=corners.device) + 0.5) / side
    y, x = torch.meshgrid(y0 + (y1 - y0) * share, x0 + (x1 - x0) * share, indexing="ij")
    return middle + torch.stack([x.flatten(), y.flatten()], dim=1) @ axes


def _square(name: str, classes: Tensor, side: int) -> Arrays:
    return {name: classes.reshape(side, side).cpu().numpy().astype("uint16")}


def _bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _arrays(tensors: dict[str, Tensor]) -> Arrays:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


@contextmanager
def _as_it_was(making: nn.Module) -> Iterator[None]:
    """Everything in eval mode, and afterwards in the mode it was in."""
    modes = [(module, module.training) for module in making.modules()]
    making.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
