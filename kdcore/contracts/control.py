"""What the training loop and those who watch it say to each other: commands, who looks, and what is shown."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np


class Command(NamedTuple):
    """One wish of a person about a run that is under way."""

    name: Literal["pause", "resume", "step", "set", "speed", "cancel"]
    value: object = None  # step: how many; set: {path: value}; speed: steps per second or None


class Audience(NamedTuple):
    """How often somebody looks, in frames per second; 0 is nobody."""

    frames_hz: float = 0.0
    field_hz: float = 0.0


class Desk:
    """What the loop asks of whoever started it. This one has no wishes and shows nothing."""

    def commands(self) -> list[Command]:
        """Wishes since the last call; asked between optimiser steps, so it must not block."""
        return []

    def audience(self) -> Audience:
        """Who is looking now."""
        return Audience()

    def show(self, channel: Literal["frame", "field"], arrays: dict[str, np.ndarray]) -> None:
        """Put arrays where those who look find them; the latest wins."""
