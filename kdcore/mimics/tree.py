"""A tree in the teacher's place: a few questions on the inputs, and at each leaf the probabilities that are answered.

The tree splits where the variance of the teacher's probabilities, summed over classes, falls most, so it hears the
teacher's doubts and not its choices alone. Beside it stands a tree of the same depth on true labels, split by the
variance of their one-hot rows, which is the Gini impurity.

Source: Liu, Wang and Matwin, Improving the Interpretability of Deep Neural Networks with Knowledge Distillation, ICDM
workshop 2018, arXiv 1812.10924.

Departs from it: it is fitted to probabilities, where the paper also tries the logits, and its sizes are cut by depth.

Zero when: unlimited depth on distinct inputs answers as the teacher does on every row it was fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdcore.mimics._arrays import checked, held_out

HELD = 0.3  # share of the rows that fidelity is measured on


@dataclass(frozen=True)
class Tree:
    """Nodes in order, the root first; a leaf has no children."""

    feature: np.ndarray  # (M,) int64, which input is asked about; -1 at a leaf
    threshold: np.ndarray  # (M,) float64; the left child is where the input is at most this
    left: np.ndarray  # (M,) int64, -1 at a leaf
    right: np.ndarray  # (M,) int64
    value: np.ndarray  # (M, C) probabilities, mean over the rows that come here

    @property
    def leaves(self) -> int:
        """How many answers it has."""
        return int((self.left < 0).sum())


@dataclass(frozen=True)
class Turn:
    """One question on the way of a row to its leaf."""

    feature: int
    threshold: float
    value: float  # the row's own
    below: bool  # whether it is at most the threshold
    probabilities: np.ndarray  # (C,) where this turn leads


@dataclass(frozen=True)
class TreeFidelity:
    """Trees of one depth. Fractions of rows; the teacher's and the labels' tree are measured on the same ones."""

    depth: int | None  # None is unlimited
    leaves: int
    fitted: float  # same class as the teacher, on the rows the tree was fitted to
    held: float  # and on rows held out
    accuracy: float  # right, on rows held out
    labels_held: float  # same class as the teacher, of the tree on labels
    labels_accuracy: float  # right, of the tree on labels


@dataclass(frozen=True)
class TreeMimic:
    """Fidelity by depth, and the tree of the largest depth that was asked for with a limit."""

    by_depth: tuple[TreeFidelity, ...]
    tree: Tree
    held: np.ndarray  # (N,) bool, rows no tree was fitted to
    teacher_accuracy: float  # on rows held out


def grown(x: np.ndarray, target: np.ndarray, depth: int | None) -> Tree:
    """Return the tree for inputs (N, F) and target probabilities (N, C)."""
    from sklearn.tree import DecisionTreeRegressor  # here, as few need what takes a second to import

    # 32-bit floats are what sklearn compares, so that inputs that differ there stay apart
    fitted = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(x.astype(np.float32), target).tree_
    leaf = fitted.children_left < 0
    return Tree(
        feature=np.where(leaf, -1, fitted.feature).astype(np.int64),
        threshold=np.where(leaf, 0.0, fitted.threshold),
        left=fitted.children_left.astype(np.int64),
        right=fitted.children_right.astype(np.int64),
        value=fitted.value.reshape(len(leaf), -1),
    )


def answered(tree: Tree, x: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of inputs (N, F)."""
    x = np.asarray(x, dtype=np.float32)
    node = np.zeros(len(x), dtype=np.int64)
    while (inner := tree.left[node] >= 0).any():
        rows = np.flatnonzero(inner)
        at = node[rows]
        below = x[rows, tree.feature[at]] <= tree.threshold[at]
        node[rows] = np.where(below, tree.left[at], tree.right[at])
    return tree.value[node]


def path(tree: Tree, row: np.ndarray) -> tuple[Turn, ...]:
    """Return the questions that lead one input (F,) to its leaf, in order."""
    row, node, turns = np.asarray(row, dtype=np.float32), 0, []
    while tree.left[node] >= 0:
        feature, threshold = int(tree.feature[node]), float(tree.threshold[node])
        below = bool(row[feature] <= threshold)
        node = int(tree.left[node] if below else tree.right[node])
        turns.append(Turn(feature, threshold, float(row[feature]), below, tree.value[node]))
    return tuple(turns)


def tree_mimic(
    x: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, depths: Sequence[int | None], seed: int = 0
) -> TreeMimic:
    """Trees of several depths on a teacher's probabilities, beside trees on labels.

    Args:
        x: (N, ...) inputs.
        probabilities: (N, C), the teacher's.
        labels: (N,) int64, true classes.
        depths: None is unlimited; one of them at least has a limit.
        seed: of which rows are held out.

    Raises:
        BadInput: there are too few rows.
    """
    flat = checked(x, probabilities, labels)
    held = held_out(len(flat), HELD, seed)
    true = np.eye(probabilities.shape[1])[labels]
    trees = {depth: grown(flat[~held], probabilities[~held], depth) for depth in depths}
    found = tuple(
        _compared(depth, tree, grown(flat[~held], true[~held], depth), flat, probabilities.argmax(1), labels, held)
        for depth, tree in trees.items()
    )
    deepest = max(depth for depth in depths if depth is not None)
    right = probabilities[held].argmax(1) == labels[held]
    return TreeMimic(found, trees[deepest], held, float(right.mean()))


def _compared(
    depth: int | None,
    tree: Tree,
    of_labels: Tree,
    x: np.ndarray,
    teacher: np.ndarray,
    labels: np.ndarray,
    held: np.ndarray,
) -> TreeFidelity:
    """How near two trees come to the teacher's classes (N,) and to the labels (N,)."""
    mine, other = (answered(one, x).argmax(1) for one in (tree, of_labels))
    return TreeFidelity(
        depth=depth,
        leaves=tree.leaves,
        fitted=float((mine == teacher)[~held].mean()),
        held=float((mine == teacher)[held].mean()),
        accuracy=float((mine == labels)[held].mean()),
        labels_held=float((other == teacher)[held].mean()),
        labels_accuracy=float((other == labels)[held].mean()),
    )
