"""Scores of one sample: logits above, softened probabilities below, a bar of each network for each class."""

from collections.abc import Sequence
from typing import Any

from app import theme
from app.panels._figure import class_axis, class_title, label_mark, note, plain
from app.theme import Theme


def bars(said: Sequence[str], logits: Any, probability: Any, name: str, colour: str) -> list[dict[str, Any]]:
    """One network's bars; `said` names each class under the pointer."""
    shared: dict[str, Any] = {"type": "bar", "name": name, "legendgroup": name, "marker": {"color": colour}}
    shared |= {"x": list(range(len(said))), "customdata": list(said)}
    hover = f"%{{customdata}}: %{{y:.3g}}<extra>{name}</extra>"
    below: dict[str, Any] = {"yaxis": "y2", "showlegend": False, "hovertemplate": hover.replace(".3g", ".2%")}
    return [
        {"uid": f"{name} logit", "y": plain(logits), "hovertemplate": hover} | shared,
        {"uid": f"{name} probability", "y": plain(probability)} | shared | below,
    ]


def layout(
    look: Theme, revision: str, names: Sequence[str], label: int | None, hidden: int, text: str, lines: int = 1
) -> dict[str, Any]:
    """Both plots, with the label's place marked and some lines of text between them."""
    room = 0.03 * (lines - 1)
    return theme.layout(
        look,
        revision,
        barmode="group",
        bargap=0.25,
        xaxis=class_axis(names, label) | class_title(len(names), hidden) | {"anchor": "y2"},
        yaxis={"title": {"text": "logit"}, "domain": [0.56 + room, 1.0]},
        yaxis2={
            "title": {"text": "probability"}, "domain": [0.0, 0.44 - room], "tickformat": ".0%", "range": [0, 1],
        },
        shapes=[] if label is None else [label_mark(label, look)],
        annotations=[note(text, 0.0, 0.45 - room)],
    )  # fmt: skip
