"""The first task of every case: both models are asked about all its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdcore.comparison.case import About, Side, write_about
from kdcore.comparison.image_statistics import measured
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays, probe_rows
from kdcore.runs.record import write_arrays


def work(pair: ComparedPair, _: Mapping[str, Any], report: Report) -> Arrays | None:
    """Write what makes a case: rows.npz, pictures.npy, columns.npz and, last, about.json."""
    rows = {"labels": pair.labels, "index": np.arange(len(pair.labels))}
    if pair.question.where == "val":
        probe = probe_rows(len(pair.split.y)).numpy()
        rows["probe"] = probe[probe < len(pair.labels)]
    for name, model in (("student", pair.student), ("teacher", pair.teacher)):
        if model:
            report(f"asking the {name}", 0.5 * (name == "teacher"))
            rows[f"{name}_logits"] = model.logits(pair.x).numpy()
    pair.folder.mkdir(parents=True, exist_ok=True)
    np.save(pair.folder / "pictures.npy", pair.x.numpy())
    write_arrays(pair.folder / "columns.npz", measured(pair.x.numpy()), compress=False)
    write_arrays(pair.folder / "rows.npz", rows, compress=False)
    question = pair.question
    write_about(
        pair.folder,
        About(
            classes=pair.classes,
            student=_side(pair.student),
            teacher=_side(pair.teacher) if pair.teacher else None,
            data=question.data,
            where=question.where,
            shape=pair.shape,
            whole=None if question.given else len(pair.split.y),
            notes=(*question.notes, *pair.notes, *(note for model in pair.models for note in model.notes)),
        ),
    )
    return None


def _side(model: ComparedModel) -> Side:
    return Side(title=model.title, run=model.party.run, service=model.party.service)
