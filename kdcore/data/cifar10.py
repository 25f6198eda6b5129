"""Small colour photographs of ten things: 50,000 to train on, 10,000 to test.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of
Toronto, 2009.
"""

from typing import ClassVar

from kdcore.data._cifar import Cifar


class Cifar10(Cifar):
    """Colour photographs (3, 32, 32), downloaded once (170 MB)."""

    title: ClassVar[str] = "CIFAR-10"
    torchvision_name: ClassVar[str] = "CIFAR10"

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Three channels of 32 x 32."""
        return (3, 32, 32), 10
