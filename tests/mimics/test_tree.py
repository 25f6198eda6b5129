"""Trees against a scan of all splits by hand, and a teacher that an unlimited tree repeats."""

from itertools import pairwise

import numpy as np
import pytest

from kdcore.errors import BadInput
from kdcore.mimics.tree import answered, grown, path, tree_mimic


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def asked(rows: int = 80, inputs: int = 3, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Inputs, a teacher's probabilities that change smoothly with them, and labels it mostly gives."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    p = softmax(2 * x @ rng.normal(size=(inputs, classes)))
    labels = np.where(rng.random(rows) < 0.8, p.argmax(1), rng.integers(0, classes, rows))
    return x, p, labels


def slow_first_split(x: np.ndarray, p: np.ndarray) -> float:
    """The least sum of squared gaps to the two sides' means, over all inputs and places between two values."""

    def left_over(side: np.ndarray) -> float:
        return float(((side - side.mean(0)) ** 2).sum()) if len(side) else 0.0

    best = np.inf
    for feature in range(x.shape[1]):
        values = np.sort(np.unique(x[:, feature]))
        for low, high in pairwise(values):
            below = x[:, feature] <= (low + high) / 2
            best = min(best, left_over(p[below]) + left_over(p[~below]))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_first_question_is_the_best_of_all(seed: int) -> None:
    x, p, _ = asked(rows=20, seed=seed)
    stump = grown(x, p, 1)
    assert ((p - answered(stump, x)) ** 2).sum() == pytest.approx(slow_first_split(x, p), rel=1e-6)


def test_without_a_limit_it_answers_as_the_teacher_does() -> None:
    x, p, labels = asked()
    np.testing.assert_allclose(answered(grown(x, p, None), x), p)
    found = tree_mimic(x, p, labels, [1, 3, None])
    assert found.by_depth[-1].depth is None
    assert found.by_depth[-1].fitted == 1.0


def test_deeper_trees_have_more_leaves_and_fit_no_worse() -> None:
    found = tree_mimic(*asked(rows=200), depths=[1, 2, 3, 4, 6, None]).by_depth
    assert [one.leaves for one in found] == sorted(one.leaves for one in found)
    assert found[0].leaves == 2
    assert found[-1].fitted >= found[2].fitted >= found[0].fitted - 0.05


def test_leaves_hold_the_mean_of_their_rows() -> None:
    x, p, _ = asked()
    tree = grown(x, p, 3)
    said = answered(tree, x)
    for leaf in np.unique(said, axis=0):
        rows = (said == leaf).all(1)
        np.testing.assert_allclose(leaf, p[rows].mean(0))
    np.testing.assert_allclose(said.sum(1), 1)


def test_the_path_of_a_row_ends_at_its_answer() -> None:
    x, p, _ = asked()
    tree = grown(x, p, 4)
    for row in x[:10]:
        turns = path(tree, row)
        assert 1 <= len(turns) <= 4
        assert all((turn.value <= turn.threshold) == turn.below for turn in turns)
        assert all(turn.value == np.float32(row[turn.feature]) for turn in turns)
        np.testing.assert_array_equal(turns[-1].probabilities, answered(tree, row[None])[0])


def test_it_is_measured_on_rows_it_never_saw_beside_a_tree_on_labels() -> None:
    x, p, labels = asked(rows=100)
    found = tree_mimic(x, p, labels, [3])
    held = found.held
    assert held.sum() == 30
    tree, other = grown(x[~held], p[~held], 3), grown(x[~held], np.eye(4)[labels[~held]], 3)
    [one] = found.by_depth
    assert one.held == (answered(tree, x[held]).argmax(1) == p[held].argmax(1)).mean()
    assert one.accuracy == (answered(tree, x[held]).argmax(1) == labels[held]).mean()
    assert one.labels_held == (answered(other, x[held]).argmax(1) == p[held].argmax(1)).mean()
    assert one.labels_accuracy == (answered(other, x[held]).argmax(1) == labels[held]).mean()
    assert found.teacher_accuracy == (p[held].argmax(1) == labels[held]).mean()


def test_images_are_read_as_rows_of_pixels() -> None:
    x, p, labels = asked(inputs=4)
    flat, square = (tree_mimic(one, p, labels, [2]) for one in (x, x.reshape(-1, 1, 2, 2)))
    assert flat.by_depth == square.by_depth


def test_what_no_mimic_can_learn_from_is_refused() -> None:
    x, p, labels = asked()
    with pytest.raises(BadInput, match="at least 20 answered rows, but got 5"):
        tree_mimic(x[:5], p[:5], labels[:5], [2])
    with pytest.raises(BadInput, match="of the same rows, but got 80, 79 and 80"):
        tree_mimic(x, p[:79], labels, [2])
    with pytest.raises(BadInput, match="some input or answer is none"):
        tree_mimic(np.where(x > 1, np.nan, x), p, labels, [2])
