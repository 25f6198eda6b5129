"""What the microscope saw, as one piece of HTML: the images side by side, and what both networks believe."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from app.reports.html_images import bars, figure, row, sentences, style
from app.text.phrases import percent
from app.theme import Theme

Sight = dict[str, Any]
WHERE = {
    "local": "nearest local image",
    "training": "nearest training image of the teacher",
    "held out": "nearest held-out image",
}


def card(sight: Sight, look: Theme) -> str:
    """The whole of it."""
    shown = row([*_answers(sight), *map(_neighbour, sight["nearest"])])
    sides = {who: sight[who] for who in ("teacher", "student") if sight[who] is not None}
    return style(look) + shown + bars(sight["classes"], sides, look) + sentences(lines(sight))


def _answers(sight: Sight) -> list[str]:
    """The image, the images of both answers, and their difference, as far as there are any."""
    label = "" if sight["label"] is None else f"it is {escape(sight['classes'][sight['label']])}"
    found = [figure(sight["image"], "x′", f"what is asked about<br>{label}")]
    for key, name, who in (("inverse_teacher", "G(T(x′))", "teacher"), ("inverse_student", "G(S(x′))", "student")):
        if key in sight:
            found.append(figure(sight[key], name, f"{who} predicts {_top(sight, who)}"))
    if "difference" in sight:
        found.append(figure(sight["difference"], "|difference|", "what the image term sees"))
    return found


def _neighbour(one: Sight) -> str:
    return figure(one["image"], f"{one['distance']:.3f} away", WHERE[one["where"]])


def _top(sight: Sight, who: str) -> str:
    """The likeliest class and how likely it is."""
    told = sight[who]
    place = int(np.argmax(told))
    return f"<b>{escape(sight['classes'][place])}</b>, {percent(told[place])}"


def lines(sight: Sight) -> list[str]:
    """What there is to say of it, one sentence a line."""
    found = []
    if sight["teacher"] is not None:
        found.append(f"Teacher: {_top(sight, 'teacher')}. Student: {_top(sight, 'student')}.")
    if sight.get("loss"):
        terms = ", ".join(f"{escape(name)} <b>{value:.3g}</b>" for name, value in sight["loss"].items())
        found.append(f"The loss that this image causes: {terms}.")
    if sight.get("again") is not None:
        same = sight["again"] == int(np.argmax(sight["teacher"]))
        shown = escape(sight["classes"][sight["again"]])
        found.append(f"Shown G(T(x′)), the teacher says <b>{shown}</b>: {'the same class' if same else 'another one'}.")
    if sight["cycle"] is not None:
        found.append(
            f"Cycle accuracy <b>{percent(sight['cycle'])}</b>: the share of generated images with the intended class. "
            "Where it is low, G(T(x′)) shows some image of the data and not this one's class."
        )
    if sight["step"] is not None:
        found.append(f"Weights of step {sight['step']:,}, the newest that the run has kept.")
    if sight["asked"]:
        images = "image" if sight["asked"] == 1 else "images"
        found.append(f"Asked by hand so far: {sight['asked']:,} {images}, beside those of the run; each is paid for.")
    return found
