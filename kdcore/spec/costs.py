"""How large a network is, and the table of sizes the catalogue shows beside each choice."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Literal, get_args, get_origin

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from kdcore.contracts.knobs import Knobs
from kdcore.contracts.model import Model
from kdcore.contracts.net import Net, stage_shapes
from kdcore.errors import BadInput
from kdcore.events import Cost


def cost(net: Net, shape: tuple[int, ...]) -> Cost:
    """Parameters, multiply-adds of one input of `shape`, and bytes of the weights.

    Multiply-adds are those of convolutions, linear layers and other matrix products, such as attention's. Bytes are
    those of parameters and buffers as they are stored. The net is left as it was.
    """
    return Cost(
        parameters=sum(weight.numel() for weight in net.parameters()),
        multiply_adds=_multiply_adds(net, shape),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values()),
    )


def _multiply_adds(net: Net, shape: tuple[int, ...]) -> int:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # nobody can count inside of what is fused into one operation
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            stage_shapes(net, shape)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    total: int = counter.get_total_flops()
    return total // 2


def costs(model_class: type[Model], shapes: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    """Return the cost of every member of a family for every shape it can read, as JSON-ready rows.

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
    two, three = (cost(net, shape).model_dump() for net in nets)
    figures = {name: [3 * two[name] - 2 * three[name], three[name] - two[name]] for name in two}
    return {"stages": [list(stage) for stage in stage_shapes(nets[0], shape)], **figures}
