"""A term that several generators share."""

from torch import Tensor


def balance(logits: Tensor) -> Tensor:
    """Sum over classes of p log10 p with p the mean probabilities of logits (B, C); a scalar.

    It is least, -log10 C, where the batch holds all classes in equal parts. Source: Chen et al., Data-Free Learning of
    Student Networks, ICCV 2019, the information entropy loss.
    """
    p = logits.float().softmax(1).mean(0)
    return (p * p.clamp(min=1e-30).log10()).sum()
