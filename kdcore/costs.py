"""How large a network is, and the table of sizes the catalogue shows beside each choice."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal, get_args, get_origin

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from kdcore.contracts import Knobs, Model
from kdcore.errors import BadInput
from kdcore.events import Cost
from kdcore.net import Net, stage_shapes


def cost(net: Net, shape: tuple[int, ...]) -> Cost:
    """Parameters, multiply-adds of one input of `shape` in convolutions and linear layers, and bytes of the weights.

    Bytes are those of parameters and buffers as they are stored.
    """
    return _cost(net, _positions(net, shape))


def _cost(net: Net, positions: Mapping[str, int]) -> Cost:
    """The cost of a network whose layers act at so many positions."""
    weights = dict(net.named_parameters())
    return Cost(
        parameters=sum(weight.numel() for weight in weights.values()),
        multiply_adds=sum(count * weights[f"{name}.weight"].numel() for name, count in positions.items()),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values()),
    )


def _positions(net: Net, shape: tuple[int, ...]) -> dict[str, int]:
    """How often each convolution and linear layer is applied to one input of `shape`; the net is left as it was."""
    counts: dict[str, int] = {}

    def hook(name: str, layer: nn.Conv2d | nn.Linear) -> RemovableHandle:
        def count(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            counts[name] = counts.get(name, 0) + output.numel() // layer.weight.shape[0]

        return layer.register_forward_hook(count)

    layers = [(name, layer) for name, layer in net.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [hook(name, layer) for name, layer in layers]
    stage_shapes(net, shape)
    for handle in hooks:
        handle.remove()
    return counts


def costs(model_class: type[Model], shapes: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    """The cost of every member of a family for every shape it can read, as JSON-ready rows.

    A row is {"knobs", "shape", "stages", "parameters", "multiply_adds", "size_bytes"}: stages are the shapes of the
    stage features; each figure is [base, per_class], for a cost is linear in the number of classes: two counts of them
    give it for all. Knobs that are not Literal keep their default.
    """
    rows = []
    for knobs, shape in product(list(members(model_class)), shapes):
        try:
            figures = _figures(model_class(**knobs), shape)
        except BadInput:
            continue
        rows.append({"knobs": knobs, "shape": list(shape), **figures})
    return rows


def members(thing: type[Knobs]) -> Iterator[dict[str, Any]]:
    """Every choice of the knobs of type Literal, the others at their defaults."""
    choices = {
        name: get_args(field.annotation) if get_origin(field.annotation) is Literal else (field.get_default(),)
        for name, field in thing.model_fields.items()
    }
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


class _Uninitialised(TorchFunctionMode):
    """Networks built inside keep whatever their memory held: sizes do not depend on it, and drawing takes time."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Skip what torch.nn.init does."""
        named = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return named.get("tensor", args[0] if args else None)
        return func(*args, **named)


def _figures(model: Model, shape: tuple[int, ...]) -> dict[str, Any]:
    """Stages, and each figure as [base, per_class] from networks of 2 and 3 classes."""
    with _Uninitialised():
        nets = [model.build(shape, classes) for classes in (2, 3)]
    positions = _positions(nets[0], shape)
    two, three = (_cost(net, positions).model_dump() for net in nets)
    figures = {name: [3 * two[name] - 2 * three[name], three[name] - two[name]] for name in two}
    return {"stages": [list(stage) for stage in stage_shapes(nets[0], shape)], **figures}
