"""A gallery of probe samples; choosing one pins it in every panel."""

from typing import Any

import numpy as np

from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._png import png_url
from app.panels._static import per_static
from kdcore.probes.samples import Sample, samples
from kdcore.runs.record import Arrays, Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found = samples(record, view.sample)
    items = [_item(record.static, sample) for sample in found.shown]
    return {"items": items, "pinned": found.pinned, "learner": record.learner}


def _item(static: Arrays, sample: Sample) -> dict[str, Any]:
    """One tile: the image, or what stands for it where the data are plain numbers."""
    said = {"label": sample.label, "teacher": sample.teacher, "student": sample.student, "differs": sample.differs}
    row = static["probe_x"][sample.row]
    if row.ndim == 3:
        return {"sample": sample.row, "image": _image(static, sample.row), "point": None} | said
    return {"sample": sample.row, "image": None, "point": _numbers(row)} | said


def _image(static: Arrays, row: int) -> str:
    """Return the image of a probe row, made once per run."""
    made = _images(static)
    if row not in made:
        made[row] = png_url(static["probe_x"][row])
    return made[row]


@per_static
def _images(_: Arrays) -> dict[int, str]:
    return {}


def _numbers(row: np.ndarray) -> str:
    """Return the first features, such as (0.31, -1.2)."""
    more = ", …" if len(row) > 4 else ""
    return f"({', '.join(f'{value:.2g}' for value in row[:4])}{more})"


def table(record: Record, view: View) -> dict[str, list[Any]]:
    found = samples(record, view.sample, limit=len(record.static["probe_labels"]))
    return {name: [getattr(sample, name) for sample in found.shown] for name in Sample.__dataclass_fields__}


PANEL = Panel(
    title="Samples",
    kind="gallery",
    caption=caption(samples),
    order=90,
    wide=False,
    lacks=lacks.first(lacks.rows("probe_x"), lacks.answers),
    draw=draw,
    table=table,
    pictured=True,
)
