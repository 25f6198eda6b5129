"""What goes on inside networks: which stages are alike, and where on an image they look.

Neither writes a gradient to any weight, draws a random number or leaves a network in another mode.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.net import Net


def unit_grams(features: Sequence[Tensor]) -> Tensor:
    """Centred Gram matrices of stage features (N, K) on the same N rows, as rows of length 1: (S, N * N) float64.

    The product of two networks' rows is their linear CKA, |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms of column-centred
    X and Y (Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019). A stage that answers
    all rows alike is like nothing: 0.
    """
    centred = [feature.double() - feature.double().mean(0) for feature in features]
    return F.normalize(torch.stack([(one @ one.T).flatten() for one in centred]), eps=1e-30)


def attention(net: Net, x: Tensor, classes: Tensor) -> Tensor | None:
    """Where the last maps of a network speak for a class: (M, h, w) float32, None for a network without maps.

    Grad-CAM, ReLU(sum over k of a_k A_k) with a_k the mean over positions of the gradient of the class's logit on map
    A_k (Selvaraju et al., Grad-CAM, ICCV 2017).

    Args:
        net: in any mode, which is put back.
        x: (M, K, H, W) normalised.
        classes: (M,) int64, the class asked about.
    """
    training = net.training
    with torch.enable_grad():
        outputs = net.eval()(x.detach().requires_grad_())
        net.train(training)
        maps = [feature for feature in outputs.features if feature.dim() == 4 and feature[0, 0].numel() > 1]
        if not maps:
            return None
        asked = outputs.logits.gather(1, classes[:, None]).sum()
        (slopes,) = torch.autograd.grad(asked, maps[-1], allow_unused=True, materialize_grads=True)
    found: Tensor = (slopes.mean((2, 3), keepdim=True) * maps[-1]).sum(1).relu().detach().float()
    return found
