"""What the microscope saw, as one piece of HTML: the images side by side, and what both networks believe."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from app import theme
from app.panels._png import png_url
from app.theme import Theme
from app.words import percent

Sight = dict[str, Any]
SHOWN = 12  # classes with a bar; the likeliest where there are more
WHERE = {
    "local": "nearest image of the edge",
    "training": "nearest image the teacher learned from",
    "held out": "nearest image that nobody learned from",
}
STYLE = """
.kd-lens { display: flex; flex-wrap: wrap; gap: 1rem 1.25rem; margin: 0; }
.kd-lens figure { margin: 0; width: 7.5rem; }
.kd-lens img { width: 100%; aspect-ratio: 1; image-rendering: pixelated; border-radius: .35rem; display: block;
  border: 1px solid VAR_GRID; }
.kd-lens figcaption { font-size: .8rem; line-height: 1.3; margin-top: .3rem; color: VAR_MUTED; }
.kd-lens figcaption b { color: VAR_INK; font-weight: 600; }
.kd-bars { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(1.6rem, 4rem); gap: .5rem;
  height: 7rem; align-items: end; margin: 1rem 0 .25rem; overflow-x: auto; }
.kd-bars > div { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; align-items: end; height: 100%;
  grid-template-rows: 1fr auto; }
.kd-bars i { display: block; border-radius: 2px 2px 0 0; min-height: 2px; }
.kd-bars span { grid-column: 1 / 3; text-align: center; font-size: .75rem; color: VAR_MUTED; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.kd-said { font-size: .875rem; color: VAR_MUTED; margin: .25rem 0 0; }
.kd-said b { color: VAR_INK; font-weight: 600; }
"""


def card(sight: Sight, look: Theme) -> str:
    """The whole of it."""
    figures = "".join([*_answers(sight), *map(_neighbour, sight["nearest"])])
    said = "".join(f'<p class="kd-said">{line}</p>' for line in lines(sight))
    return f'<style>{_style(look)}</style><div class="kd-lens">{figures}</div>{_bars(sight, look)}{said}'


def _style(look: Theme) -> str:
    colours = {"GRID": theme.GRID, "MUTED": theme.MUTED, "INK": theme.INK}
    text = STYLE
    for name, pair in colours.items():
        text = text.replace(f"VAR_{name}", pair[look])
    return text


def _answers(sight: Sight) -> list[str]:
    """The image, the images of both answers, and their difference, as far as there are any."""
    label = "" if sight["label"] is None else f"it is {escape(sight['classes'][sight['label']])}"
    found = [_figure(sight["image"], "x′", f"what is asked about<br>{label}")]
    for key, name, who in (("inverse_teacher", "G(T(x′))", "teacher"), ("inverse_student", "G(S(x′))", "student")):
        if key in sight:
            found.append(_figure(sight[key], name, f"{who} says {_top(sight, who)}"))
    if "difference" in sight:
        found.append(_figure(sight["difference"], "|difference|", "what the image term sees"))
    return found


def _neighbour(one: Sight) -> str:
    return _figure(one["image"], f"{one['distance']:.3f} away", WHERE[one["where"]])


def _figure(pixels: Any, name: str, said: str) -> str:
    url = png_url(np.array(pixels, dtype=np.uint8), enlarge=True)
    return f'<figure><img src="{url}" alt="{name}"><figcaption><b>{name}</b><br>{said}</figcaption></figure>'


def _top(sight: Sight, who: str) -> str:
    """The likeliest class and how likely it is."""
    told = sight[who]
    place = int(np.argmax(told))
    return f"<b>{escape(sight['classes'][place])}</b>, {percent(told[place])}"


def _bars(sight: Sight, look: Theme) -> str:
    """A bar of each network for each class."""
    sides = [(who, sight[who]) for who in ("teacher", "student") if sight[who] is not None]
    likeliest = np.argsort([-max(told[k] for _, told in sides) for k in range(len(sight["classes"]))], kind="stable")
    colours = {"teacher": theme.TEACHER[look], "student": theme.STUDENT[look]}
    columns = ""
    for k in sorted(likeliest[:SHOWN].tolist()):
        bars = "".join(
            f'<i style="height:{100 * told[k]:.1f}%;background:{colours[who]}" title="{who}: {percent(told[k])}"></i>'
            for who, told in sides
        )
        columns += f"<div>{bars}<span>{escape(sight['classes'][k])}</span></div>"
    return f'<div class="kd-bars" role="img" aria-label="Probabilities by class">{columns}</div>'


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
            f"Cycle accuracy <b>{percent(sight['cycle'])}</b>: so many images of an answer get that answer again. "
            "Where it is low, G(T(x′)) shows some image of the data and not this one's class."
        )
    if sight["step"] is not None:
        found.append(f"Weights of step {sight['step']:,}, the newest that the run has kept.")
    if sight["asked"]:
        found.append(f"Asked by hand so far: {sight['asked']:,} images, beside those of the run.")
    return found
