"""Images that are made in rounds and kept, so that the student sees each again and again and a wall charges it once."""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore.generation.networks import Making, from_bytes, to_bytes
from kdcore.generation.source import Scene
from kdcore.sources._generated import whole


def lay_out(making: Making, scene: Scene, room: int) -> None:
    """Give `making` an empty pool of so many images, as bytes."""
    pool = torch.zeros(room, *scene.x.shape[1:], dtype=torch.uint8, device=scene.x.device)
    making.register_buffer("pool", pool)


def fill(making: Making, images: Tensor, turn: int) -> None:
    """Put the images (M, K, H, W) of round `turn` into the pool, in the place of the oldest where it is full."""
    pool = making.get_buffer("pool")
    places = (turn * len(images) + torch.arange(len(images), device=pool.device)) % len(pool)
    pool[places[: len(pool)]] = to_bytes(images.detach().float()[: len(pool)])


def shown(making: Making, scene: Scene, batch: int, made: int, step: int, salt: int) -> Tensor:
    """Return a batch of the pool, drawn with replacement from its first `made` images."""
    pool = making.get_buffer("pool")
    return from_bytes(pool[whole(scene, min(made, len(pool)), batch, step, salt)])


def even_labels(scene: Scene, count: int, turn: int) -> Tensor:
    """Labels (count,) in which all classes are as equally frequent as they can be; the next round goes on."""
    return (torch.arange(count, device=scene.x.device) + turn * count) % scene.classes
