"""Images with a name below each, and bars of both networks, as HTML: for the microscope and the Inspector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as safe
from typing import Any, NamedTuple

import numpy as np

from app import theme
from app.panels._png import png_url, veil_url
from app.text.phrases import percent
from app.theme import Theme

SHOWN = 12  # classes with a bar; the likeliest where there are more
STYLE = """
.kd-lens { display: flex; flex-wrap: wrap; gap: 1rem 1.25rem; margin: 0; }
.kd-lens figure { margin: 0; width: 7.5rem; }
.kd-face { position: relative; border: 1px solid VAR_GRID; border-radius: .35rem; overflow: hidden; }
.kd-face img { width: 100%; height: 100%; image-rendering: pixelated; display: block; }
.kd-face img + img { position: absolute; inset: 0; }
.kd-face img.kd-smooth { image-rendering: auto; }
.kd-face span { position: absolute; inset: 0; display: grid; place-content: center; color: VAR_INK; font-size: .9rem; }
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
.kd-pair { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; }
.kd-pair > div { flex: 1 1 20rem; min-width: 0; }
.kd-one { display: flex; gap: 1rem; }
.kd-one > div:last-child { flex: 1; }
.kd-said b { color: VAR_INK; font-weight: 600; }
"""


class Veil(NamedTuple):
    """A colour over an image, as thick as (h, w) says from 0 to 1."""

    strength: np.ndarray
    colour: str
    smooth: bool = False


def style(look: Theme) -> str:
    """Return the style sheet of everything here."""
    text = STYLE
    for name, pair in {"GRID": theme.GRID, "MUTED": theme.MUTED, "INK": theme.INK}.items():
        text = text.replace(f"VAR_{name}", pair[look])
    return f"<style>{text}</style>"


def row(figures: Sequence[str]) -> str:
    """Figures side by side; they wrap where the page is narrow."""
    return f'<div class="kd-lens">{"".join(figures)}</div>'


def figure(pixels: Any, name: str, said: str, veils: Sequence[Veil] = ()) -> str:
    """Return an input (K, H, W) of bytes, or a point (F,), with its name; `said` is HTML."""
    shown = np.array(pixels)
    if shown.ndim == 3:
        face = f'<img src="{png_url(shown.astype(np.uint8), enlarge=True)}" alt="{safe(name)}">'
    else:
        face = f"<span>({', '.join(f'{value:.2g}' for value in shown[:3])})</span>"
    for veil in veils:
        kind = ' class="kd-smooth"' if veil.smooth else ""
        face += f'<img src="{veil_url(veil.strength, veil.colour)}" alt=""{kind}>'
    ratio = f"{shown.shape[2]} / {shown.shape[1]}" if shown.ndim == 3 else "1"
    told = f"<figcaption><b>{safe(name)}</b><br>{said}</figcaption>"
    return f'<figure><div class="kd-face" style="aspect-ratio: {ratio}">{face}</div>{told}</figure>'


def signed(values: Any, look: Theme, smooth: bool = False) -> list[Veil]:
    """Veils of numbers (h, w): what is above 0 in the colour of what is right, what is below in that of disagreement.

    The largest of either sign is the thickest.
    """
    found = np.array(values, dtype=np.float64)
    scale = max(float(np.abs(found).max()), 1e-12)
    sides = ((found, theme.GOOD), (-found, theme.DISAGREE))
    return [Veil(np.clip(side / scale, 0, 1), colour[look], smooth) for side, colour in sides]


def bars(classes: Sequence[str], sides: Mapping[str, Sequence[float]], look: Theme) -> str:
    """Return a bar of each network ("teacher", "student") for each of the likeliest classes."""
    likeliest = np.argsort([-max(told[k] for told in sides.values()) for k in range(len(classes))], kind="stable")
    colours = {"teacher": theme.TEACHER[look], "student": theme.STUDENT[look]}
    columns = ""
    for k in sorted(likeliest[:SHOWN].tolist()):
        pair = "".join(
            f'<i style="height:{100 * told[k]:.1f}%;background:{colours[who]}" title="{who}: {percent(told[k])}"></i>'
            for who, told in sides.items()
        )
        columns += f"<div>{pair}<span>{safe(classes[k])}</span></div>"
    return f'<div class="kd-bars" role="img" tabindex="0" aria-label="Probabilities by class">{columns}</div>'


def sentences(lines: Sequence[str]) -> str:
    """Sentences, one a line, as HTML already."""
    return "".join(f'<p class="kd-said">{line}</p>' for line in lines)
