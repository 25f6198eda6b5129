"""Networks of a source that makes images: a generator, a discriminator, and what learns them beside the student."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from kdcore.errors import BadInput
from kdcore.nn.optim import Rule
from kdcore.spec.schedule import Schedule

GAN_EPSILON = 0.8  # of the batch norms after the first, as the published GAN tutorials have it
GAN_SPREAD = 0.02  # standard deviation of the first weights of convolutions and of batch norms
BETAS1 = 0.5  # of Adam in a GAN


class Making(nn.Module):
    """What a source makes images with. Its modules and buffers are checkpointed, and its `rules` beside them."""

    generator: nn.Module  # those that a source has
    discriminator: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.rules: dict[str, Rule] = {}
        self.told: list[dict[str, Tensor]] = []  # of each update since the loop last took it

    def learn(self, name: str, loss: Tensor, share: float = 1.0) -> None:
        """One update, at a share of its rate, of what the rule `name` moves; gradients on all else are dropped."""
        rule = self.rules[name]
        gradients = torch.autograd.grad(loss, rule.weights, allow_unused=True)
        for weight, gradient in zip(rule.weights, gradients, strict=True):
            weight.grad = gradient
        rule.step(share * rule.schedule.lr)
        rule.forget_gradients()

    def tell(self, name: str, terms: Mapping[str, Tensor]) -> None:
        """Keep what an update beside the student's steps minimised: the sum as `name`, of several terms each as
        name_term.

        Scalars; they stay on the device until a loss point is due.
        """
        parts = {term: value.detach().float() for term, value in terms.items()}
        several = {f"{name}_{term}": value for term, value in parts.items()} if len(parts) > 1 else {}
        self.told.append({name: total(parts), **several})

    def take(self) -> list[dict[str, Tensor]]:
        """Return what was told since this was last called, an update each."""
        told, self.told = self.told, []
        return told


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of terms, which is what an update minimises; a scalar."""
    return reduce(add, terms.values())


def adam(weights: Iterable[nn.Parameter], lr: float, beta1: float = BETAS1) -> Rule:
    """Adam at a constant rate, without weight decay."""
    return Rule(Schedule(optimizer="adam", lr=lr, momentum=beta1, weight_decay=0.0, decay="constant"), weights)


class Generator(nn.Module):
    """Latents (B, L) to images (B, K, H, W) in [-1, 1], for sides that 4 divides.

    A linear layer to 128 maps of a quarter of each side, then twice: upsampling to double, 3 x 3 convolution, batch
    norm, leaky ReLU; a last convolution and tanh. With L = 10, one channel and 32 x 32 pixels it has 312 705
    parameters.

    Source: the architecture published with MEKD (Ma et al., CVPR 2024), after Radford et al., DCGAN, ICLR 2016.

    Args:
        latent: L.
        shape: (K, H, W).
        width: maps at a quarter of each side; 128 as published.
        published: with the published epsilon of batch norm, 0.8, and small first weights, which learn slowly.

    Raises:
        BadInput: a side is no multiple of 4.
    """

    def __init__(self, latent: int, shape: tuple[int, ...], width: int = 128, published: bool = True) -> None:
        super().__init__()
        channels, height, side = image_shape(shape)
        self.grid = (width, height // 4, side // 4)
        self.first = nn.Linear(latent, width * self.grid[1] * self.grid[2])
        half = width // 2
        self.rest = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width, eps=GAN_EPSILON),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, half, 3, padding=1),
            nn.BatchNorm2d(half, eps=GAN_EPSILON),
            nn.LeakyReLU(0.2),
            nn.Conv2d(half, channels, 3, padding=1),
            nn.Tanh(),
        )
        self.apply(_begin if published else _usual)

    def forward(self, latents: Tensor) -> Tensor:
        """Images (B, K, H, W) of latents (B, L)."""
        return self.raw(latents).tanh()

    def raw(self, latents: Tensor) -> Tensor:
        """Return what tanh makes images (B, K, H, W) of."""
        made: Tensor = self.rest[:-1](self.first(latents.float()).unflatten(1, self.grid))
        return made


class Discriminator(nn.Module):
    """Images (B, K, H, W) to the logit (B,) of being real; its sigmoid is the D of the papers.

    Four 3 x 3 convolutions of stride 2 with leaky ReLU, dropout and, after the first, batch norm; then one linear
    layer. With one channel and 32 x 32 pixels it has 98 113 parameters. Small images get as many of the four as leave
    2 x 2 positions: with one position the last batch norm would give real and made batches the same mean.

    Source: as `Generator`.
    """

    def __init__(self, shape: tuple[int, ...], published: bool = True) -> None:
        super().__init__()
        channels, height, side = image_shape(shape)
        layers: list[nn.Module] = []
        for place, width in enumerate((16, 32, 64, 128)):
            if min(height, side) <= 2:
                break
            layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
            layers += [nn.BatchNorm2d(width, eps=GAN_EPSILON)] if place else []
            channels, height, side = width, -(-height // 2), -(-side // 2)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * side, 1))
        self.apply(_begin if published else _usual)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B,)."""
        logits: Tensor = self.body(images)
        return logits[:, 0]


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of what is to be made.

    Raises:
        BadInput: it is no image, or a side is no multiple of 4.
    """
    if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        raise BadInput(
            f"A generator makes images whose sides are multiples of 4, but the data have shape "
            f"{'x'.join(map(str, shape))}; choose images such as 'digits' or 'mnist'."
        )
    return shape[0], shape[1], shape[2]


def only_images(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of what is to be made.

    Raises:
        BadInput: it is no image.
    """
    if len(shape) != 3:
        raise BadInput(
            f"This source makes images, but the data have shape {'x'.join(map(str, shape))}; choose images such as "
            "'digits' or 'mnist', or source 'data'."
        )
    return shape[0], shape[1], shape[2]


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, the nearest of 256 values."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_bytes(stored: Tensor) -> Tensor:
    """Images of uint8 in [-1, 1]; the same bytes give the same image, so that a wall recalls its answer."""
    return stored.float() / 127.5 - 1


def _begin(module: nn.Module) -> None:
    """First weights: N(0, .02) for convolutions, N(1, .02) for batch norms; linear layers keep torch's."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, GAN_SPREAD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, GAN_SPREAD)


def _usual(module: nn.Module) -> None:
    """Set the epsilon that batch norm has everywhere else."""
    if isinstance(module, nn.BatchNorm2d):
        module.eps = 1e-5
