"""Where both models look on one image: what speaks for a class, by Grad-CAM, CAM and integrated gradients.

All maps are about the logit of one class, the same for both models.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor

from kdcore.comparison.tasks._asked import BYTE, Asked, class_of, image, shown, sides
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.errors import BadInput
from kdcore.nn.heads import reading

STEPS = 64  # points of the integral
CLOSE = 1e-3  # of the largest logit, by which a CAM may miss it
BASELINES = ("black", "mean")


class Lookup(NamedTuple):
    """The last stage of a network that is a map."""

    layer: torch.nn.Module
    maps: Tensor  # (1, K, h, w)
    last: bool  # whether the head reads it


def answer(pair: ComparedPair, asked: Asked) -> dict[str, Any]:
    """Return maps of each model for the class {"of"} of the image {"row"} or {"pixels"}, from the baseline
    {"baseline"}.

    Raises:
        BadInput: the image, the class or the baseline is none of these data's.
    """
    x, place = image(pair, asked), class_of(pair, asked)
    start = baseline(pair, str(asked.get("baseline", BASELINES[0])))
    told = {name: looked(model, x.float(), start, place) for name, model in sides(pair).items()}
    return {"image": shown(x), "baseline": shown(start), "of": place, **told}


def baseline(pair: ComparedPair, name: str) -> Tensor:
    """Return the input (1, ...), raw, where integrated gradients begin: black, or the mean of the training rows.

    Points have no black, so theirs is always the mean.

    Raises:
        BadInput: it is called otherwise.
    """
    if name not in BASELINES:
        raise BadInput(f"A baseline is one of {', '.join(BASELINES)}, but got {name!r}.")
    if len(pair.shape) != 3:
        return pair.train_x.float().mean(0, keepdim=True)
    mean = BYTE * torch.tensor(pair.data.mean) if name == "mean" else torch.zeros(pair.shape[0])
    return mean.view(1, -1, 1, 1).expand(1, *pair.shape)


def looked(model: ComparedModel, x: Tensor, start: Tensor, place: int) -> dict[str, Any]:
    """Return what one model's maps show of an input (1, ...), raw; or one sentence on why there are none."""
    if model.net is None:
        return {"lacks": f"{model.title} is a black box; its features and gradients are not available."}
    found: dict[str, Any] = {"logit": float(model.logits(x)[0, place])}
    seen, left = integrated(model, x, start, place)
    found |= {"integrated": seen[0].tolist(), "left": left, "from": float(model.logits(start)[0, place])}
    if x.ndim == 4:
        look = lookup(model, x)
        found["grad_cam"] = None if look is None else grad_cam(model, look, x, place).tolist()
        found["cam"], found["no_cam"] = cam(model, look, place)
    return found


def lookup(model: ComparedModel, x: Tensor) -> Lookup | None:
    """Return the last stage whose feature is a map of more than one position."""
    features = model.through(x).features
    for place in reversed(range(len(features))):
        if features[place].ndim == 4 and features[place][0, 0].numel() > 1:
            assert model.net
            return Lookup(model.net.blocks[place], features[place].detach(), place == len(features) - 1)
    return None


def grad_cam(model: ComparedModel, look: Lookup, x: Tensor, place: int) -> Tensor:
    """Return what speaks for a class: (h, w), ReLU(sum over k of a_k A_k), a_k the mean slope of its logit on map A_k.

    Source: Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    asked = LayerGradCam(lambda rows: model.through(rows).logits, look.layer)
    found: Tensor = asked.attribute(x.clone().requires_grad_(), place, relu_attributions=True)
    return found[0, 0].detach().float().cpu()


def cam(model: ComparedModel, look: Lookup | None, place: int) -> tuple[list[Any] | None, str]:
    """Return what speaks for (above 0) and against a class: (h, w), the sum over k of w_k A_k; else why there is none.

    It is exact where the head is global average pooling and one linear layer: then its mean is the logit less the
    bias, which is checked.

    Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """
    sentence = "No CAM: the head is more than average pooling and one linear layer."
    assert model.net
    if look is None or not look.last:
        return None, "No CAM: the last stage is no map."
    try:
        weight = reading(model.net, "CAM").weight
    except BadInput:
        return None, sentence
    with torch.no_grad():
        maps = torch.einsum("ck,khw->chw", weight, look.maps[0])
        told, empty = (model.net.head(one)[0] for one in (look.maps, torch.zeros_like(look.maps)))
    if (maps.mean((1, 2)) - (told - empty)).abs().max() > CLOSE * told.abs().max().clamp(min=1):
        return None, sentence
    return maps[place if model.order is None else model.order[place]].float().cpu().tolist(), ""


def integrated(model: ComparedModel, x: Tensor, start: Tensor, place: int) -> tuple[Tensor, float]:
    """How much each value adds to a class's logit on the way from the baseline: like `x`, and what their sum lacks.

    The slope is integrated along the straight line at 64 points by Gauss and Legendre's rule.

    Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017.
    """
    told = IntegratedGradients(lambda rows: model.through(rows).logits.float())
    found, left = told.attribute(x.float(), start.float(), target=place, n_steps=STEPS, return_convergence_delta=True)
    return found.detach().float().cpu(), float(left)
