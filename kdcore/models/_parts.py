"""Parts that several families share."""

from torch import Tensor, nn

from kdcore.errors import BadInput


def image(shape: tuple[int, ...], family: str, least: int) -> int:
    """Return the channels of an image shape (K, H, W).

    Raises:
        BadInput: it is no image, or one side is below `least` pixels.
    """
    if len(shape) != 3 or min(shape[1:]) < least:
        raise BadInput(
            f"{family} reads images (channels, height, width) of at least {least}x{least} pixels, "
            f"but got inputs of shape {shape}; choose another model, such as 'mlp', or another data set."
        )
    return shape[0]


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch normalisation."""
    return [conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs)]


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution, its batch normalisation and a ReLU."""
    return [*conv_bn(inputs, outputs, kernel, stride, groups), nn.ReLU()]


class Pool(nn.Module):
    """Maps (B, K, H, W) averaged over their positions to (B, K)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        return x.mean((2, 3))


def head(width: int, classes: int) -> nn.Sequential:
    """Global average pooling and a linear classifier."""
    return nn.Sequential(Pool(), nn.Linear(width, classes))


def kaiming(module: nn.Module) -> None:
    """Initialise a convolution for ReLU (He et al. 2015, fan out); for use with `apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
