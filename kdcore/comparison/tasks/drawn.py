"""What both models say at once of an image that a person drew, or of a row."""

from __future__ import annotations

from typing import Any

from kdcore.comparison.tasks._asked import Asked, image, sides
from kdcore.comparison.tasks.pair import ComparedPair


def answer(pair: ComparedPair, asked: Asked) -> dict[str, Any]:
    """Return the probabilities (C,) at temperature 1 and the answer of each model to {"pixels"} or {"row"}.

    Raises:
        BadInput: it is no image of these data.
    """
    x, told = image(pair, asked), {}
    for name, model in sides(pair).items():
        probability = model.logits(x)[0].softmax(0)
        told[name] = {"probability": probability.tolist(), "answer": int(probability.argmax())}
    return told
