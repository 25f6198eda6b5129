"""An additive model in the teacher's place, beside one of the same class on what really happened.

For one class, the score s(x) is the log-odds of the teacher's probability. The mimic is s'(x) = a + sum over inputs f
of h_f(x_f), fitted by least squares; the outcome model o'(x) has the same form and is fitted to whether a row is of the
class, by logistic regression. Both are log-odds, so the shapes h_f of the two can be laid over one another: where they
part, the teacher treats an input otherwise than the world does. Each h_f is a broken line with equally spaced knots,
whose bends are penalised alike in both models and whose mean over the rows is 0. A band is the height with Student's t
times its standard deviation over models of rows drawn anew; it is meant for 95 % and tells what rows were drawn, not
what a broken line cannot follow.

What the mimic misses, s - s', and what the outcome model misses, y - sigmoid(o'), are taken on rows that the models
were not fitted to, and their correlation is told. No verdict goes with it: it is large where the teacher knows an
input that is not among these, where inputs matter together, and as well where both models lack the same part of an
additive truth, because a shape is finer than the knots or the rows are few for so many inputs. No test of the
residuals alone tells these three apart, and none is made.

Source: Tan, Caruana, Hooker and Lou, Distill-and-Compare: Auditing Black-Box Models Using Transparent Model
Distillation, AIES 2018, arXiv 1710.06169.

Departs from it: broken lines with a penalty on bends stand for the paper's bagged trees; the scores are log-odds; the
paper's test for inputs that its data lack is left out.

Zero when: s is additive and linear in every input: no bend is penalised then, and the mimic misses next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from kdcore.errors import BadInput
from kdcore.mimics._arrays import checked

KNOTS = 8
STIFFNESS = 1.0  # weight of a squared bend, in rows
RIDGE = 0.05  # weight of a squared height, so that heights without data stay small
NEWTON_STEPS = 25
HALVINGS = 12  # of a Newton step that goes too far
FOLDS = 5
LARGEST_SCORE = 8.0  # log-odds beyond which a probability is as good as 0 or 1
DRAWS = 40  # models that a band is taken from; percentiles of so few would cover 90 % where 95 % is meant
BAND = 0.95


@dataclass(frozen=True)
class Additive:
    """a + sum of broken lines of F inputs with K knots each."""

    intercept: float
    knots: np.ndarray  # (F, K) ascending
    heights: np.ndarray  # (F, K) at the knots; mean 0 over the rows it was fitted to


@dataclass(frozen=True)
class Shape:
    """What one input adds to the log-odds, at its knots, for mimic and outcome model, with bands."""

    feature: int
    at: np.ndarray  # (K,) values of the input
    score: np.ndarray  # (K,) of the mimic
    score_band: np.ndarray  # (2, K) low and high
    outcome: np.ndarray  # (K,) of the outcome model
    outcome_band: np.ndarray  # (2, K)
    spread: float  # standard deviation over the rows of what it adds to the mimic


@dataclass(frozen=True)
class Missed:
    """How far what the two models miss goes together, which has several causes."""

    correlation: float
    rows: int


@dataclass(frozen=True)
class GamMimic:
    """The mimic of one class's score, its shapes by the size of what they add, and what both models miss."""

    of_class: int
    r2: float  # share of the score's variance that the mimic explains, on rows it was not fitted to
    same_side: float  # share of those rows on which both say more likely than not, or both do not
    shapes: tuple[Shape, ...]
    missed: Missed


def knots_of(x: np.ndarray, count: int = KNOTS) -> np.ndarray:
    """Equally spaced knots (F, K) from the least to the largest value of each input of x (N, F)."""
    found: np.ndarray = np.linspace(x.min(0), x.max(0), count).T
    return found


def hats(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Weights (N, F, K) with which a value takes part in the heights of its two knots; outside the nearest counts."""
    width = knots[:, 1] - knots[:, 0]
    place = np.clip((x - knots[:, 0]) / width, 0, knots.shape[1] - 1)
    found: np.ndarray = np.maximum(0.0, 1 - np.abs(place[:, :, None] - np.arange(knots.shape[1])))
    return found


def fit(x: np.ndarray, target: np.ndarray, knots: np.ndarray, logistic: bool) -> Additive:
    """Return the additive model of inputs (N, F).

    Args:
        x: (N, F).
        target: (N,) scores, or 0 and 1 where it is `logistic`.
        knots: (F, K), the same for all models that are compared.
        logistic: log-odds by Newton's method, else least squares.
    """
    basis = hats(x, knots).reshape(len(x), -1)
    middle = basis.mean(0)
    columns = np.column_stack([np.ones(len(x)), basis - middle])
    task = _Task(columns, target, _penalty(*knots.shape), logistic)
    weights = np.zeros(columns.shape[1])
    for _ in range(NEWTON_STEPS if logistic else 1):
        weights = task.better(weights)
    heights = weights[1:].reshape(knots.shape)
    return Additive(float(weights[0]), knots, heights - (middle.reshape(knots.shape) * heights).sum(1, keepdims=True))


@dataclass(frozen=True)
class _Task:
    """Penalised least squares, or penalised log-likelihood, of weights on columns (N, P)."""

    columns: np.ndarray
    target: np.ndarray  # (N,)
    penalty: np.ndarray  # (P, P)
    logistic: bool

    def loss(self, weights: np.ndarray) -> float:
        """Return what is made small."""
        score = self.columns @ weights
        each = np.logaddexp(0, score) - self.target * score if self.logistic else (self.target - score) ** 2 / 2
        return float(each.sum() + weights @ self.penalty @ weights / 2)

    def better(self, weights: np.ndarray) -> np.ndarray:
        """Return the weights after a Newton step, which is halved as long as it makes the loss larger."""
        score = self.columns @ weights
        mean = special.expit(score) if self.logistic else score
        curvature = np.maximum(mean * (1 - mean), 1e-6) if self.logistic else np.ones(len(score))
        slope = self.columns.T @ (self.target - mean) - self.penalty @ weights
        step = np.linalg.solve((self.columns.T * curvature) @ self.columns + self.penalty, slope)
        now = self.loss(weights)
        scale = next((0.5**turn for turn in range(HALVINGS) if self.loss(weights + 0.5**turn * step) <= now), 0.0)
        found: np.ndarray = weights + scale * step
        return found


def _penalty(features: int, knots: int) -> np.ndarray:
    """Squared bends and heights (1 + F K, 1 + F K); the intercept is free."""
    bends = np.diff(np.eye(knots), n=2, axis=0)
    one = STIFFNESS * bends.T @ bends + RIDGE * np.eye(knots)
    whole = np.zeros((1 + features * knots, 1 + features * knots))
    whole[1:, 1:] = np.kron(np.eye(features), one)
    return whole


def scores(model: Additive, x: np.ndarray) -> np.ndarray:
    """Return the model's log-odds (N,) of inputs (N, F)."""
    found: np.ndarray = model.intercept + (hats(x, model.knots) * model.heights).sum((1, 2))
    return found


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """log p / (1 - p), between -LARGEST_SCORE and LARGEST_SCORE."""
    whole: np.ndarray = special.logit(np.clip(probabilities, 0.0, 1.0, dtype=np.float64))
    found: np.ndarray = np.clip(whole, -LARGEST_SCORE, LARGEST_SCORE)
    return found


def missed_together(missed: np.ndarray, outcome_missed: np.ndarray) -> Missed:
    """Return the correlation of what two models miss on the same rows (N,); 0 where one misses the same everywhere."""
    a, b = (one - one.mean() for one in (missed, outcome_missed))
    return Missed(float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300), len(a))


def gam_mimic(
    x: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, of_class: int, draws: int = DRAWS, seed: int = 0
) -> GamMimic:
    """Mimic and outcome model of one class; inputs that never change are left out.

    Args:
        x: (N, ...) inputs.
        probabilities: (N, C), the teacher's.
        labels: (N,) int64, true classes.
        of_class: whose score it is.
        draws: how many models a band is taken from, 2 or more.
        seed: of folds and draws.

    Raises:
        BadInput: there are too few rows, or they are all alike.
    """
    flat = checked(x, probabilities, labels)
    moving = np.flatnonzero(flat.max(0) > flat.min(0))
    if not len(moving):
        raise BadInput("An additive mimic needs an input that changes, but all rows are alike; ask about other rows.")
    flat, score = flat[:, moving], log_odds(probabilities[:, of_class])
    outcome = (np.asarray(labels) == of_class).astype(np.float64)
    told, happened = _apart(flat, score, outcome, seed)
    missed = score - told
    variance = max(float(((score - score.mean()) ** 2).sum()), 1e-300)
    return GamMimic(
        of_class=of_class,
        r2=1 - float((missed**2).sum()) / variance,
        same_side=float(((told > 0) == (score > 0)).mean()),
        shapes=_shapes(flat, score, outcome, moving, draws, seed),
        missed=missed_together(missed, outcome - special.expit(happened)),
    )


def _apart(x: np.ndarray, score: np.ndarray, outcome: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (N,) of mimic and outcome model, each row by models that were fitted to other rows."""
    fold = np.random.default_rng(seed).permutation(len(x)) % FOLDS
    told, happened, knots = np.zeros(len(x)), np.zeros(len(x)), knots_of(x)
    for part in range(FOLDS):
        mine = fold != part
        told[~mine] = scores(fit(x[mine], score[mine], knots, False), x[~mine])
        happened[~mine] = scores(fit(x[mine], outcome[mine], knots, True), x[~mine])
    return told, happened


def _shapes(
    x: np.ndarray, score: np.ndarray, outcome: np.ndarray, moving: np.ndarray, draws: int, seed: int
) -> tuple[Shape, ...]:
    """Return the shapes of both models with bands, the largest first."""
    knots, rng = knots_of(x), np.random.default_rng(seed)
    whole = np.stack([fit(x, score, knots, False).heights, fit(x, outcome, knots, True).heights])
    drawn = [rng.integers(len(x), size=len(x)) for _ in range(draws)]
    again = np.array(
        [[fit(x[r], score[r], knots, False).heights, fit(x[r], outcome[r], knots, True).heights] for r in drawn]
    )
    half = float(stats.t.ppf(0.5 + BAND / 2, draws - 1)) * again.std(0, ddof=1)
    bands = np.stack([whole - half, whole + half])  # (2, models, F, K)
    spread = (hats(x, knots) * whole[0]).sum(2).std(0)
    return tuple(
        Shape(
            feature=int(moving[f]), at=knots[f], score=whole[0, f], score_band=bands[:, 0, f], outcome=whole[1, f],
            outcome_band=bands[:, 1, f], spread=float(spread[f]),
        )
        for f in np.argsort(-spread)
    )  # fmt: skip
