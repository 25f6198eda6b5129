"""At the edge: answers to a batch of test images are made consistent with those of their neighbours. Approximate.

"Aligning Logits Generatively ... in the Wild" (Xiang, Ma, Wu, Zeng and Chen, IEEE TPAMI 2025) ends with a test-time
adaptation that is "graph propagation-based" and "only-forward"; its formulas are not published where we could read
them and no code is known. What stands here is the textbook form of such a propagation, Zhou, Bousquet, Lal, Weston and
Schoelkopf, Learning with Local and Global Consistency, NIPS 2003, on a graph of cosines; its constants are ours.

It reads no label, changes no weight and no statistic of batch norm, and needs the images of a chunk together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore.contracts.net import CHUNK, Net
from kdcore.engine.measure import Normalise, answers_within
from kdcore.nn.losses import unit

NEIGHBOURS = 10  # of each image, by the cosine of features
SPREAD = 0.1  # s: how fast likeness falls with the cosine


def graph(features: Tensor, neighbours: int = NEIGHBOURS, spread: float = SPREAD) -> Tensor:
    """M = D^(-1/2) A D^(-1/2) (N, N) of features (N, K), float64.

    A_ij = exp((cos(f_i, f_j) - 1) / s) where j is among the nearest of i or i among those of j, and 0 elsewhere and on
    the diagonal; D is the diagonal of its row sums. The -1 cancels in M.
    """
    rows = unit(features).double()
    count = min(neighbours, len(rows) - 1)
    cosines = (rows @ rows.T).fill_diagonal_(-torch.inf)
    near = torch.zeros_like(cosines).scatter(1, cosines.topk(count, dim=1).indices, 1.0)
    likeness = ((cosines - 1) / spread).exp() * torch.maximum(near, near.T)
    scale = likeness.sum(1).clamp(min=1e-30).rsqrt()
    return scale[:, None] * likeness * scale


def propagated(links: Tensor, probabilities: Tensor, share: float) -> Tensor:
    """P* = (1 - a) (I - a M)^(-1) P, (N, C) float64 and nowhere negative; its argmax is the answer, its rows need not
    sum to 1.

    Args:
        links: M (N, N), from `graph`.
        probabilities: P (N, C).
        share: a in [0, 1), how much neighbours count; 0 gives P.
    """
    system = torch.eye(len(links), dtype=torch.float64, device=links.device) - share * links
    found: Tensor = (1 - share) * torch.linalg.solve(system, probabilities.double())
    return found.clamp(min=0.0)  # what rounding left below 0


@torch.no_grad()
def adapted(net: Net, x: Tensor, normalise: Normalise, share: float) -> Tensor:
    """Return a network's answers (N,) int64 to raw rows x, each chunk of a fixed random order made consistent in
    itself.
    """
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    found = torch.empty_like(order)
    for rows in torch.split(order, CHUNK):
        told = answers_within(net, normalise(x[rows]))
        found[rows] = propagated(graph(told.features[-1]), told.logits.softmax(1), share).argmax(1)
    return found
