r"""A generator that inverts the teacher's mapping: step 1 of MEKD, and the images of its step 2.

Before the student's first step a generator $G$, with a latent of as many dimensions as there are classes, is trained as
a GAN against a discriminator $D$ for which the local images are real. The information term adds $\alpha$ times the mean
of $-w \log D(G(z))$, where $w$ is the teacher's largest probability for $G(z)$, or 1 where it returns labels only. Then
$G$ is frozen, and each step of the student uses $G(z)$ for new $z \sim N(0, I)$. No local image is sent to the teacher.

Source: Ma, Xiang, Wang, Wu and Li, Aligning Logits Generatively for Principled Black-Box Knowledge Distillation, CVPR
2024, arXiv 2205.10490; architecture, optimiser and the constants from the code published with it.

Departs from it: `released` follows the published code instead of the paper: $w$ is the class's index and its shape
makes the mean of products a product of means, so the term is the adversarial one times a number. `align` is ours and
not MEKD: it adds $\rho$ times the mean of $|G(\mathrm{map}(T(x))) - x|$ so that the image made of an output shows the
predicted class, on synthetic images ("self") or on local ones ("local", which sends them to the teacher). The map from
outputs to latents is the paper's division by $\tau$, or, ours, standardising with the spread of the teacher's outputs.

Zero when: never; an adversarial loss has no zero.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.device import onto
from kdcore.generation.networks import Discriminator, Generator, Making, adam
from kdcore.generation.source import Maker, Scene
from kdcore.seeding import mix


class MEKDSource(Maker):
    """Images of a generator that emulates the teacher's inverse."""

    title: ClassVar[str] = "MEKD's generator"
    needs: ClassVar[frozenset[Grant]] = frozenset({"labels"})
    leading: ClassVar[tuple[str, ...]] = ("steps",)
    inverts: ClassVar[bool] = True
    steps: int = Field(
        1200, ge=1, le=1_000_000, description="Steps of generator and discriminator, before the student's."
    )
    real: int = Field(64, ge=2, le=1024, description="Local images, and as many synthetic ones, in one of these steps.")
    lr: float = Field(5e-4, gt=0.0, le=0.1, description="Learning rate of both (Adam, beta 1 = 0.5); published: 2e-4.")
    width: int = Field(128, ge=8, le=256, multiple_of=2, description="Width of the generator; published: 128.")
    nets: Literal["published", "usual"] = Field(
        "published", description="Published: batch norm with epsilon 0.8, small first weights; usual learns sooner."
    )
    information: Literal["paper", "released", "none"] = Field(
        "paper", description="The information term: as the paper has it, as the published code has it, or none."
    )
    alpha: float = Field(0.5, ge=0.0, le=100.0, description="Weight of the information term.")
    align: Literal["none", "self", "local"] = Field(
        "none", description="Ours, not MEKD: makes inversions show the class; local sends local images to the teacher."
    )
    rho: float = Field(10.0, ge=0.0, le=1000.0, description="Weight of the alignment.")
    map: Literal["temperature", "standard"] = Field(
        "temperature", description="From outputs to latents: divided by tau, or (ours) standardised."
    )
    tau: float = Field(5.0, gt=0.0, le=100.0, description="Divides outputs on their way to the generator.")
    pool: int = Field(
        0, ge=0, le=1_000_000, description="Synthetic images, queried once and then reused; 0: always new."
    )

    def build(self, scene: Scene) -> Making:
        """Return generator, discriminator, the spread of answers, and the pool once it is made."""
        shape = tuple(scene.x.shape[1:])
        making = Making()
        making.generator = Generator(scene.classes, shape, self.width, self.nets == "published")
        making.discriminator = Discriminator(shape, self.nets == "published")
        making.register_buffer("spread", torch.ones(()))  # standard deviation of centred answers
        making.register_buffer("pool", torch.zeros(self.pool, *shape, dtype=torch.uint8))
        making.to(scene.x.device)
        making.rules = {
            "generator": adam(making.generator.parameters(), self.lr),
            "discriminator": adam(making.discriminator.parameters(), self.lr),
        }
        return making

    def learn(self, making: Making, scene: Scene, step: int) -> dict[str, Tensor]:
        """One step of the discriminator, one of the generator."""
        making.train()
        chance = torch.Generator().manual_seed(mix(scene.seed, step, salt=7))
        rows = onto(torch.randint(len(scene.x), (self.real,), generator=chance), scene.x.device)
        local = scene.x[rows].float() / 127.5 - 1
        discriminator = self._judge(making, local, self._latents(scene, self.real, chance))
        return {"discriminator": discriminator, **self._play(making, scene, local, chance)}

    def _judge(self, making: Making, local: Tensor, latents: Tensor) -> Tensor:
        """Teach the discriminator: BCE(D(x), 1) + BCE(D(G(z)), 0)."""
        made = making.generator(latents).detach()
        loss = F.softplus(-making.discriminator(local)).mean() + F.softplus(making.discriminator(made)).mean()
        making.learn("discriminator", loss)
        return loss.detach()

    def _play(self, making: Making, scene: Scene, local: Tensor, chance: torch.Generator) -> dict[str, Tensor]:
        """Teach the generator: to seem real, most where the teacher is sure, and to invert where that is asked."""
        made = making.generator(self._latents(scene, self.real, chance))
        seeming = F.softplus(-making.discriminator(made))  # -log D
        answers = scene.ask(scene.inputs(made.detach()), False).logits if self._asks(scene) else None
        terms = {"generator": seeming.mean()}
        if self.information != "none":
            terms["information"] = self.alpha * information(seeming, answers, scene.access, self.information)
        if self.align != "none":
            known, shown = (answers, made.detach()) if self.align == "self" else (None, local)
            if known is None:
                known = scene.ask(scene.inputs(local), True).logits
            self._settle(making, known)
            terms["alignment"] = self.rho * (self.invert(making, known) - shown).abs().mean()
        elif answers is not None:
            self._settle(making, answers)
        making.learn("generator", sum(terms.values(), torch.zeros_like(seeming[0])))
        return {name: term.detach() for name, term in terms.items()}

    def _asks(self, scene: Scene) -> bool:
        """Whether the lead needs answers to made images; labels tell the paper's information term nothing."""
        if self.align == "self":
            return True
        return (scene.access != "labels" and (self.information == "paper" or self.map == "standard")) or (
            self.information == "released"
        )

    def _latents(self, scene: Scene, count: int, chance: torch.Generator) -> Tensor:
        return onto(torch.randn(count, scene.classes, generator=chance), scene.x.device)

    @torch.no_grad()
    def _settle(self, making: Making, answers: Tensor) -> None:
        """Let the spread follow that of the teacher's centred answers, slowly."""
        centred = answers.float() - answers.float().mean(1, keepdim=True)
        making.get_buffer("spread").lerp_(centred.square().mean().sqrt(), 0.1)

    @torch.no_grad()
    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """G(z) for new z, or images of the pool, which is made before the first step."""
        making.eval().requires_grad_(False)
        if step == 0 and scene.access == "labels" and not self._asks(scene):
            share = 1 / scene.classes
            making.get_buffer("spread").fill_((share * (1 - share)) ** 0.5)  # that of one-hot rows, centred
        if not self.pool:
            chance = torch.Generator().manual_seed(mix(scene.seed, step, salt=8))
            images: Tensor = making.generator(self._latents(scene, batch, chance))
            return images
        if step == 0:
            chance = torch.Generator().manual_seed(mix(scene.seed, 0, salt=9))
            for part in torch.split(torch.arange(self.pool), 256):
                made = making.generator(self._latents(scene, len(part), chance))
                making.get_buffer("pool")[onto(part, made.device)] = ((made + 1) * 127.5).round().to(torch.uint8)
        chance = torch.Generator().manual_seed(mix(scene.seed, step, salt=10))
        rows = onto(torch.randint(self.pool, (batch,), generator=chance), scene.x.device)
        return making.get_buffer("pool")[rows].float() / 127.5 - 1

    def invert(self, making: Making, logits: Tensor) -> Tensor:
        """G of logits on the scale of its latents."""
        images: Tensor = making.generator(self._mapped(making, logits))
        return images

    def _mapped(self, making: Making, logits: Tensor) -> Tensor:
        if self.map == "temperature":
            return logits.float() / self.tau
        return (logits.float() - logits.float().mean(1, keepdim=True)) / making.get_buffer("spread").clamp(min=1e-6)

    @torch.no_grad()
    def sample(self, making: Making, latents: Tensor) -> Tensor:
        """G(z)."""
        images: Tensor = making.generator.eval()(latents)
        return images


def information(seeming: Tensor, answers: Tensor | None, access: str, form: Literal["paper", "released"]) -> Tensor:
    """Return the information term of MEKD, before its weight alpha; a scalar.

    Args:
        seeming: (B,), -log D(G(z)).
        answers: (B, C), the teacher's for G(z); not needed for the paper's form with labels only.
        access: what the teacher grants; behind "labels" the paper's largest response is 1.
        form: "paper", mean of w_i * seeming_i with w_i the largest probability; "released", where w_i is the index of
            the largest class and a product of shapes (B,) and (B, 1) makes the mean mean(w) * mean(seeming).
    """
    if form == "released":
        assert answers is not None
        return (answers.argmax(1)[:, None] * seeming).mean()  # (B, 1) * (B,) is B x B, as published
    if access == "labels":
        return seeming.mean()
    assert answers is not None
    return (answers.softmax(1).amax(1) * seeming).mean()
