r"""Decision-based black-box KD: the teacher returns labels only, so distances to its boundaries replace confidence.

Before training, each searched image $x$, which the teacher labels $y$, is moved towards $J$ images of every other class
$c$, and a binary search of $S$ queries finds where the teacher's label changes to $c$. Let $d_c$ be the smallest of the
$J$ distances. Then $1/d_c$ measures how near $x$ is to class $c$, and the target logits are $r_c = u/d_c$ and $r_y =
\sum_{c \ne y} r_c$; $u$ scales the mean over all searched images and their other classes to 1. The loss is label weight
$\lambda$ times $\mathrm{CE}(z_s, y)$, with $y$ the true label here, plus KD weight $\alpha$ times
$T^2\,\mathrm{KL}(\sigma(r/T)\,\|\,\sigma(z_s/T))$.

Of $P$ local images that are shown, $C$ classes and $R$ searched images it sends at most $P + R (C - 1) J S$ queries,
and exactly that many if $R \le P - C J$ and the teacher assigns at least $J$ images to each class. These queries show
local images, and augmented images are queried in addition. With a smaller budget fewer images are searched. The others
get the mean of the targets found: one number for $y$ and one for all other classes.

Source: Wang, Zero-Shot Knowledge Distillation from a Decision-Based Black-Box Model, ICML 2021, arXiv 2106.03310, its
part with data and boundary distances (mode "bd" of its released code).

Departs from it: the code moves towards 201 images of a class, each as far as the smallest distance so far, and halves
until it knows it to 1e-5. The unit $u$ is ours: the paper takes pixels from 0 to 1, and how large $1/d$ is then depends
on the data. $y$ is the teacher's label, as the edge's images may have none. The paper's third distance, which turns the
direction by estimated gradients and needs far more queries, is left out; temperature and weights are ours, as with
plain distillation, where the code takes temperature 20, both weights 1, and the sum over a batch without the factor
$T^2$.

Zero when: the student's logits and the targets differ by a constant in each row (the term "kd").
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Pair, Term
from kdcore.errors import BadInput
from kdcore.nn.losses import cross_entropy, kd_loss
from kdcore.seeding import mix

AT_ONCE = 4096  # questions in one call


class Examples(NamedTuple):
    """Images of each class, as the teacher sees them."""

    place: Tensor  # (C, J) int64
    known: Tensor  # (C, J) bool, False where the teacher gives the class to fewer images


def examples(labels: Tensor, classes: int, images: int, order: Tensor) -> Examples:
    """Return the first `images` places of each class in the order (P,), of labels (P,)."""
    of_class = labels[order] == torch.arange(classes, device=labels.device)[:, None]
    first = of_class.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :images]
    return Examples(order[first], of_class.gather(1, first))


def boundary(pair: Pair, x: Tensor, ends: Tensor, goals: Tensor, search: int) -> Tensor:
    """How far along the way (B,) from inputs x to `ends` (B, ...) the teacher first says `goals` (B,), to 2^-search.

    It takes for granted that the teacher says so at the end and not at the start.
    """
    assert pair.ask is not None
    low, high = torch.zeros(len(x), device=x.device), torch.ones(len(x), device=x.device)
    each = (-1, *[1] * (x.dim() - 1))
    for _ in range(search):
        middle = (low + high) / 2
        there = pair.ask(x + middle.view(each) * (ends - x), True).logits.argmax(1) == goals
        low, high = low.where(there, middle), middle.where(there, high)
    return high


def target_logits(distances: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Logits (R, C) of distances (R, C - 1) to the classes after labels (R,), in turn; infinity is out of reach."""
    near = 1 / distances.clamp(min=1e-6)
    near = near / near.mean().clamp(min=1e-12)
    others = (labels[:, None] + torch.arange(1, classes, device=labels.device)) % classes
    found = torch.zeros(len(labels), classes, device=labels.device).scatter(1, others, near)
    return found.scatter(1, labels[:, None], near.sum(1, keepdim=True))


class Robustness(nn.Module):
    """The target logits (N, C) of all training rows."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)


class DB3KD(Method):
    """Distillation of the distances to a teacher's decision boundaries."""

    title: ClassVar[str] = "Decision-based KD (DB3KD)"
    family: ClassVar[str] = "black box"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y)"
        r" + \alpha\,T^2\,\mathrm{KL}\big(\sigma(r/T)\,\|\,\sigma(z_s/T)\big),"
        r"\quad r_c = \frac{u}{d_c},\ r_y = \sum_{c \ne y} r_c"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Wang, ICML 2021"
    needs: ClassVar[frozenset[Grant]] = frozenset({"labels"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"rows"})
    fixed: ClassVar[frozenset[str]] = frozenset({"rows", "images", "search"})
    rows: int = Field(500, ge=1, le=1_000_000, description="Most local images whose boundaries are searched (R).")
    images: int = Field(5, ge=1, le=100, description="Images of each other class to move towards (J).")
    search: int = Field(6, ge=1, le=20, description="Queries per binary search (S); each halves the error.")
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's boundaries.")

    def affordable(self, shown: int, classes: int, budget: int) -> int:
        """How many of the images that are shown can be searched (R).

        Raises:
            BadInput: not one.
        """
        each = (classes - 1) * self.images * self.search
        if not budget:
            return min(self.rows, shown)
        if shown + each > budget:
            raise BadInput(
                f"DB3KD asks about the {shown} local images and about {each} more for each whose boundaries it "
                f"searches, but the budget is {budget}; raise it to {shown + each} or more, or lower images or search."
            )
        return min(self.rows, shown, (budget - shown) // each)

    def connect(self, pair: Pair) -> Robustness:
        """Return the target logits; the teacher is asked here.

        Raises:
            BadInput: the budget is too small.
        """
        assert pair.shown is not None
        assert pair.inputs is not None
        assert pair.ask is not None
        count = self.affordable(len(pair.shown), pair.classes, pair.budget)
        inputs = pair.inputs(pair.shown)
        labels = torch.cat([pair.ask(part, True).logits.argmax(1) for part in torch.split(inputs, AT_ONCE)])
        chance = torch.Generator().manual_seed(mix(0, 0, salt=22))
        order = torch.randperm(len(labels), generator=chance).to(labels.device)
        goals = examples(labels, pair.classes, self.images, order)
        searched = _plain_first(order, goals)[:count]
        found = target_logits(self._distances(pair, inputs, labels, searched, goals), labels[searched], pair.classes)
        mine = found.gather(1, labels[searched][:, None]).mean()
        logits = (
            (mine / (pair.classes - 1))
            .expand(len(labels), pair.classes)
            .scatter(1, labels[:, None], mine.expand(len(labels), 1))
        )
        whole = torch.zeros(len(pair.labels), pair.classes, device=labels.device)
        return Robustness(whole.index_copy(0, pair.shown, logits.index_copy(0, searched, found)))

    def _distances(self, pair: Pair, inputs: Tensor, labels: Tensor, searched: Tensor, goals: Examples) -> Tensor:
        """Return the least distances (R, C - 1) of the `searched` inputs (R,) to the classes after their own, in
        turn.
        """
        turn = torch.arange(1, pair.classes, device=labels.device)
        found = []
        for rows in torch.split(searched, max(1, AT_ONCE // ((pair.classes - 1) * self.images))):
            others = (labels[rows][:, None] + turn) % pair.classes  # (b, C - 1)
            ends, known = (part[others].flatten() for part in goals)
            start = rows[:, None, None].expand(*others.shape, goals.place.shape[1]).flatten()
            x, goal = inputs[start], inputs[ends.where(known, start)]  # no way to go where there is no such image
            wanted = others[..., None].expand(*others.shape, goals.place.shape[1]).flatten()
            share = boundary(pair, x, goal, wanted, self.search)
            far = (share * (goal - x).flatten(1).norm(dim=1)).view(*others.shape, -1)
            found.append(far.masked_fill(~known.view_as(far), torch.inf).amin(2))
        return torch.cat(found)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and boundaries."""
        assert isinstance(state, Robustness)
        logits = batch.student.logits
        goal = state.get_buffer("logits")[batch.index]
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, goal, self.temperature)),
        }


def _plain_first(order: Tensor, goals: Examples) -> Tensor:
    """Return the order (P,) with those that others walk towards at its end, so that no way is walked from both
    sides.
    """
    ends = torch.zeros(len(order), device=order.device)
    ends = ends.scatter_add(0, goals.place.flatten(), goals.known.flatten().float())
    return order[ends[order].clamp(max=1).argsort(stable=True)]
