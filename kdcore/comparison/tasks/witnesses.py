"""Further runs are asked about a case's rows: evidence for the causes of disagreement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdcore.comparison.question import Party
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays
from kdcore.probes._numerics import log_softmax, top_class


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report) -> Arrays:
    """Answers (R, N) and confidences (R, N) of the runs of each kind; see `kdcore.comparison.causes`.

    Args:
        asked: kinds with their parties, as JSON.
    """
    parties = [(kind, Party.model_validate(one)) for kind, some in asked.items() for one in some]
    found: dict[str, list[np.ndarray]] = {}
    for place, (kind, party) in enumerate(parties):
        report(f"asking {party.title}", place / len(parties))
        logits = ComparedModel(party, pair.data, pair.question.data, pair.device).logits(pair.x).numpy()
        told = {"answers": top_class(logits), "confidence": np.exp(log_softmax(logits).max(1)), "runs": party.run or ""}
        for name, values in told.items():
            found.setdefault(f"{kind}_{name}", []).append(np.asarray(values))
    return {name: np.stack(values) for name, values in found.items()}
