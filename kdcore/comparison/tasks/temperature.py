"""Fits the student's temperature on the validation rows, for cases that look at others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdcore.comparison.export_temperature import on_validation
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays


def work(pair: ComparedPair, _: Mapping[str, Any], report: Report) -> Arrays:
    """temperature (), fitted by NLL, rows (), how many it was fitted on, and p () that T = 1 is off by chance alone."""
    report("asking the student about the validation rows", 0.1)
    return {name: np.array(value) for name, value in on_validation(pair.student, pair.data)._asdict().items()}
