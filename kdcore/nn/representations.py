"""What goes on inside networks: which stages are alike, and where on an image they look.

Neither writes a gradient to any weight, draws a random number or leaves a network in another mode.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.contracts.net import Net


def unit_grams(features: Sequence[Tensor]) -> Tensor:
    """Centred Gram matrices of stage features (N, K) on the same N rows, as rows of length 1: (S, N * N) float64.

    The product of two networks' rows is their linear CKA, |Y'X|^2 / (|X'X| |Y'Y|) in Frobenius norms of column-centred
    X and Y (Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019). A stage that answers
    all rows alike is like nothing: 0.
    """
    centred = [feature.double() - feature.double().mean(0) for feature in features]
    return F.normalize(torch.stack([(one @ one.T).flatten() for one in centred]), eps=1e-30)


def debiased_grams(features: Sequence[Tensor]) -> Tensor:
    """U-centred Gram matrices of stage features (N, K) on the same N >= 4 rows, rows of length 1: (S, N * N) float32.

    The product of two such rows is their debiased linear CKA, the ratio of unbiased estimates of HSIC: independent
    features have 0 on average, however few the rows, and a pair may fall below it. The unbiased HSIC (Song et al.,
    Feature Selection via Dependence Maximization, JMLR 2012, equation 5) is the inner product of U-centred matrices
    over N (N - 3) (Székely and Rizzo, Partial Distance Correlation, Annals of Statistics 2014, definition 2); as CKA:
    Nguyen et al., Do Wide and Deep Networks Learn the Same Things?, ICLR 2021.
    """
    return F.normalize(torch.stack([_u_centred(one.double()).float().flatten() for one in features]), eps=1e-30)


def _u_centred(feature: Tensor) -> Tensor:
    """Return the linear kernel of (N, K) without its diagonal, each of whose rows and columns adds up to 0: (N, N)."""
    rows = len(feature)
    centred = feature - feature.mean(0)  # changes nothing but the rounding
    gram = (centred @ centred.T).fill_diagonal_(0)
    own = gram.sum(1) / (rows - 2)
    gram = gram - own[:, None] - own + gram.sum() / ((rows - 1) * (rows - 2))
    return gram.fill_diagonal_(0)


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
