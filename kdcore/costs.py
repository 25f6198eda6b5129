"""How large a network is, and the table of sizes the catalogue shows beside each choice."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from kdcore.contracts import Model
from kdcore.errors import BadInput
from kdcore.events import Cost
from kdcore.net import Net


def cost(net: Net, shape: tuple[int, ...]) -> Cost:
    """Parameters, multiply-adds of one input of `shape` in convolutions and linear layers, and bytes of the weights.

    Bytes are those of parameters and buffers as they are stored.
    """
    state = net.state_dict().values()
    return Cost(
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        multiply_adds=_multiply_adds(net, shape),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in state),
    )


def _multiply_adds(net: Net, shape: tuple[int, ...]) -> int:
    """Counted while one input of zeros passes through; the net is left as it was."""
    counts: list[int] = []

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)
        counts.append(output.numel() * layer.weight[0].numel())

    layers = [layer for layer in net.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, *shape, device=next(net.parameters()).device))
    net.train(training)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def costs(model_class: type[Model], shapes: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    """The cost of every member of a family for every shape it can read, as JSON-ready rows.

    A row is {"knobs", "shape", "parameters", "multiply_adds", "size_bytes"}; each figure is [base, per_class], for a
    cost is linear in the number of classes: two counts of them give it for all. Knobs that are not Literal keep their
    default.
    """
    rows = []
    for knobs, shape in product(list(_members(model_class)), shapes):
        try:
            two, three = (_unmaterialised(model_class(**knobs), shape, classes) for classes in (2, 3))
        except BadInput:
            continue
        figures = {name: _line(getattr(two, name), getattr(three, name)) for name in Cost.model_fields}
        rows.append({"knobs": knobs, "shape": list(shape), **figures})
    return rows


def _members(model_class: type[Model]) -> Iterator[dict[str, Any]]:
    """The knobs of every member."""
    choices = {
        name: get_args(field.annotation) if get_origin(field.annotation) is Literal else (field.get_default(),)
        for name, field in model_class.model_fields.items()
    }
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _unmaterialised(model: Model, shape: tuple[int, ...], classes: int) -> Cost:
    """The cost of a network that takes no memory."""
    with torch.device("meta"):
        return cost(model.build(shape, classes), shape)


def _line(two: int, three: int) -> list[int]:
    """Base and slope of the line through the figures at 2 and 3 classes."""
    return [two - 2 * (three - two), three - two]
