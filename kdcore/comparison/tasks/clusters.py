"""Groups of rows that the teacher sees alike, as one more column to slice by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.cluster import KMeans

from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.comparison.tasks.support import features
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays

MOST = 24
PER_CLASS = 2


def work(pair: ComparedPair, _: Mapping[str, Any], report: Report) -> Arrays:
    """`cluster` (N,): k-means of the teacher's pooled features, the student's where there is no teacher.

    Source: Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, SODA 2007.

    Raises:
        BadInput: the model only answers.
    """
    model = pair.teacher or pair.student
    seen = features(model, pair.x, lambda share: report("reading rows", 0.5 * share)).numpy()
    report("grouping them", 0.5)
    count = min(PER_CLASS * len(pair.classes), MOST, len(seen))
    return {"cluster": KMeans(count, n_init=4, random_state=0).fit(seen).labels_}
