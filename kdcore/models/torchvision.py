"""Any classifier of torchvision by its name, untrained, cut into stages where its forward pass is a plain chain.

A stage is a run of layers at one map size; pooling and classifier are the head. Networks whose forward pass is not a
chain, such as transformers and DenseNets, are one stage up to their last linear layer.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision import models
from torchvision.ops.misc import Permute

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.errors import BadInput, gist, unknown
from kdcore.models._parts import image

AUXILIARY = ("googlenet", "inception_v3")  # they answer with more than logits
HEADS = (nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)


class Call(NamedTuple):
    """What one module made of one image."""

    module: nn.Module
    entry: Tensor
    output: Tensor


class _Colour(nn.Module):
    """Grey images (B, 1, H, W) as colour images (B, 3, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Three equal channels."""
        return x.expand(-1, 3, -1, -1)


class Torchvision(Model):
    """A network of torchvision.models, with random weights."""

    title: ClassVar[str] = "torchvision classifier"
    family: ClassVar[str] = "ImageNet"
    name: str = Field("resnet18", description="Any classifier of torchvision.models, such as resnet18 or vit_b_16.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for grey or colour images of a size that its layers can read.

        Raises:
            BadInput: also for an unknown name, and for networks with auxiliary answers.
        """
        known = models.list_models(module=models)
        if self.name in AUXILIARY:
            raise BadInput(
                f"torchvision's {self.name!r} answers with auxiliary logits in training, which no method here reads; "
                "choose a classifier with one answer, such as 'resnet18'."
            )
        if self.name not in known:
            raise unknown("torchvision classifier", self.name, set(known) - set(AUXILIARY))
        channels = image(shape, f"torchvision's {self.name!r}", least=1)
        if channels not in (1, 3):
            raise BadInput(
                f"torchvision's {self.name!r} reads grey or colour images of 1 or 3 channels, but got {channels}; "
                "choose another model, such as 'resnet', or another data set."
            )
        model: nn.Module = models.get_model(self.name, weights=None, num_classes=classes)
        blocks, head = _cut(model, self._calls(model, shape))
        return Net(blocks if channels == 3 else [nn.Sequential(_Colour(), blocks[0]), *blocks[1:]], head)

    def _calls(self, model: nn.Module, shape: tuple[int, ...]) -> list[Call]:
        """Return what the links of the model, its linear layers and, last, the model itself made of one black image."""
        try:
            with torch.no_grad():
                return _recorded(model.eval(), torch.zeros(1, 3, *shape[1:]))
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = gist(error).rstrip(".")
            raise BadInput(
                f"torchvision's {self.name!r} cannot read images of {shape[1]}x{shape[2]} pixels ({reason}); "
                "choose larger images or another model, such as 'resnet'."
            ) from error
        finally:
            model.train()


def _links(model: nn.Module) -> list[nn.Module]:
    """Return the top-level modules, plain sequences replaced by their members."""
    found: list[nn.Module] = []
    for child in model.children():
        plain = isinstance(child, nn.Sequential) and type(child).forward is nn.Sequential.forward
        found += _links(child) if plain else [child]
    return found


def _recorded(model: nn.Module, x: Tensor) -> list[Call]:
    """Return the calls of the links and of the linear layers, in order, then that of the model itself."""
    calls: list[Call] = []
    watched = {*_links(model), *(module for module in model.modules() if isinstance(module, nn.Linear)), model}
    handles = [
        module.register_forward_hook(lambda module, inputs, output: calls.append(Call(module, inputs[0], output)))
        for module in watched
    ]
    model(x)
    for handle in handles:
        handle.remove()
    return calls


def _cut(model: nn.Module, calls: Sequence[Call]) -> tuple[list[nn.Module], nn.Module]:
    """Blocks and a head that together do what the model does."""
    chain = _chain(model, calls)
    return _staged(chain) if chain else _halved(model, calls)


def _chain(model: nn.Module, calls: Sequence[Call]) -> list[Call]:
    """Return the model as a chain in which each link reads what the one before gave; empty where it is more than
    that.
    """
    whole, links = calls[-1], _links(model)
    chain: list[Call] = []
    end = whole.entry
    for call in [call for call in calls if call.module in set(links)] + [Call(nn.Identity(), whole.output, end)]:
        if call.entry is not end and _is_flattened(call.entry, end):
            chain.append(Call(nn.Flatten(), end, call.entry))
        elif call.entry is not end:
            return []
        chain.append(call)
        end = call.output
    modules = [call.module for call in chain[:-1]]
    whole_chain = [module for module in modules if module in set(links)] == links
    return chain[:-1] if whole_chain and not any(isinstance(module, Permute) for module in modules) else []


def _is_flattened(vector: Tensor, end: Tensor) -> bool:
    return vector.shape == end.flatten(1).shape and vector.data_ptr() == end.data_ptr()


def _staged(chain: Sequence[Call]) -> tuple[list[nn.Module], nn.Module]:
    """Return a new stage wherever a map changes its size; the head from the first global pooling or flattening on."""
    start = next(place for place, call in enumerate(chain) if isinstance(call.module, HEADS))
    stages: list[list[nn.Module]] = [[]]
    for call in chain[:start]:
        if stages[-1] and call.output.shape[2:] != call.entry.shape[2:]:
            stages.append([])
        stages[-1].append(call.module)
    return [nn.Sequential(*stage) for stage in stages], nn.Sequential(*(call.module for call in chain[start:]))


def _halved(model: nn.Module, calls: Sequence[Call]) -> tuple[list[nn.Module], nn.Module]:
    """Return the model without its last linear layer, and that layer."""
    last = next(call.module for call in reversed(calls) if isinstance(call.module, nn.Linear))
    path = next(path for path, module in model.named_modules() if module is last)
    parent, _, leaf = path.rpartition(".")
    setattr(model.get_submodule(parent), leaf, nn.Identity())
    return [model], last
