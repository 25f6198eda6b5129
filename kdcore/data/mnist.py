"""Handwritten digits at 28 x 28: 60,000 to train on, 10,000 to test.

Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-Based Learning Applied to Document Recognition,
Proceedings of the IEEE, 1998.
"""

from typing import ClassVar

from kdcore.data._idx import Idx


class Mnist(Idx):
    """Grey digits (1, 28, 28), downloaded once (12 MB)."""

    title: ClassVar[str] = "MNIST"
    torchvision_name: ClassVar[str] = "MNIST"
    names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    checksums: ClassVar[tuple[str, str, str, str]] = (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    )
