"""Fits the student's temperature on the validation rows, for cases that look at others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kdcore.cases.scaling import fitted
from kdcore.contracts import Report
from kdcore.exam.pair import Pair
from kdcore.measure import Arrays

MOST = 20_000  # rows it is fitted on, the first of the split


def work(pair: Pair, _: Mapping[str, Any], report: Report) -> Arrays:
    """temperature (), fitted by NLL, and rows (), how many it was fitted on."""
    val = pair.data.val
    report("asking the student about the validation rows", 0.1)
    logits = pair.student.logits(torch.from_numpy(val.x[:MOST])).numpy()
    report("fitting", 0.9)
    return {"temperature": np.array(fitted(logits, val.y[:MOST])), "rows": np.array(len(logits))}
