"""Image files as people really have them, made into upright images of eight bits; animations are refused.

Pillow clips 16 bits to white when it converts them, and gives the first frame of an animation without a word.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from kdcore.errors import BadInput

DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # what Pillow calls grey images of 16 bits
LEVELS = 257  # of 16 bits for each of 8: 65535 is 255


def still(image: Image.Image, name: str) -> Image.Image:
    """Return an open image, upright, with eight bits a channel.

    Raises:
        BadInput: it is animated.
    """
    check_still(image, name)
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in DEEP:
        return upright
    return Image.fromarray((np.asarray(upright).astype(np.float64) / LEVELS).round().clip(0, 255).astype(np.uint8))


def check_still(image: Image.Image, name: str) -> None:
    """Check that an open image is one image; only its head is read. A photograph may hold its own previews (MPO).

    Raises:
        BadInput: it is animated.
    """
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise BadInput(
            f"{name} is animated: it shows {getattr(image, 'n_frames', 'several')} images, and nothing says which is "
            "meant; save that one as a file of its own."
        )
