"""Small colour photographs of a hundred things, 500 of each to train on: the usual field of distillation papers.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of
Toronto, 2009.
"""

from typing import ClassVar

from kdcore.data._cifar import Cifar


class Cifar100(Cifar):
    """Colour photographs (3, 32, 32) with the fine labels, downloaded once (169 MB)."""

    title: ClassVar[str] = "CIFAR-100"
    torchvision_name: ClassVar[str] = "CIFAR100"
    class_count: ClassVar[int] = 100
