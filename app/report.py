"""The verdict as one HTML file that opens anywhere: its sentences, the pictures they speak of, and no other file."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from app import theme
from app.panels._png import png_url
from app.verdict import PARTS, Facts, Said, verdict
from app.words import percent, title
from kdcore.catalogue import entry
from kdcore.errors import BadInput
from kdcore.events import Finished
from kdcore.frontier import Reference, reference
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.record import Record, gather, read_arrays

HELD = 12  # local images in a row
INVERTED = 8  # probe rows with their inversions
WIDTH, HEIGHT = 640, 200  # of the course, in its own units
PLACES = {"made": "made", "inversions": "inversions", "accuracy": "course", "fidelity": "course"}  # panel to figure
STYLE = """
:root { color-scheme: light dark; --ink: INK_L; --muted: MUTED_L; --grid: GRID_L; --paper: PAPER_L;
  --teacher: TEACHER_L; --student: STUDENT_L; }
@media (prefers-color-scheme: dark) { :root { --ink: INK_D; --muted: MUTED_D; --grid: GRID_D; --paper: PAPER_D;
  --teacher: TEACHER_D; --student: STUDENT_D; } }
body { font: 17px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 46rem; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, li { margin: .35rem 0; } ul { padding-left: 1.2rem; } .muted, figcaption { color: var(--muted); font-size: .9rem; }
a { color: var(--teacher); } figure { margin: 1rem 0 0; } table { border-collapse: collapse; font-size: .9rem; }
td { padding: .2rem .9rem .2rem 0; vertical-align: top; border-bottom: 1px solid var(--grid); }
.wall { display: grid; grid-template-columns: repeat(auto-fill, minmax(3.2rem, 1fr)); gap: .4rem; max-width: 40rem; }
.wall img, .rows img { width: 100%; aspect-ratio: 1; image-rendering: pixelated; border-radius: .25rem; display: block;
  border: 1px solid var(--grid); }
.wall span { font-size: .72rem; color: var(--muted); }
.rows { display: grid; gap: .4rem; max-width: 40rem; align-items: center; font-size: .8rem; overflow-x: auto; }
svg { width: 100%; height: auto; max-width: 40rem; } svg text { fill: var(--muted); font-size: 13px; }
"""


# Facts


def facts_of(store: Store, run: Run) -> tuple[Facts, Record]:
    """What the verdict reads of a run, and its record with the last frame on show.

    Raises:
        BadInput: the run is not over.
    """
    story = store.story(run.id)
    ended = next((event for event in reversed(story) if isinstance(event, Finished)), None)
    if ended is None:
        raise BadInput(f"Run {run.id} is not over, so there is no verdict on it yet; wait until it is done.")
    record = gather(run.spec, story, run.folder)
    last = record.frames[-1] if record.frames else None
    record = gather(run.spec, story, run.folder, read_arrays(run.folder / last.file) if last else None)
    assert record.started
    rows, classes = record.started.rows["train"], len(record.started.classes)
    return Facts(run.spec, ended, last.notes if last else {}, classes, rows, reference_of(store, run)), record


def reference_of(store: Store, run: Run) -> Reference | None:
    """What a student on the edge's real images reaches, as far as this store knows."""
    done = [one for one in store.runs(states={"done"}) if one.pristine]
    return reference(run.spec, [(one.id, one.spec, one.result or {}) for one in done])


# The file


def report(run: Run, facts: Facts, record: Record, address: str = "") -> str:
    """The whole file.

    Args:
        run: the run.
        facts: what the verdict reads.
        record: of the run, with its last frame on show.
        address: of the Black box page of a running KD Lab, for links to live panels; "" leaves them out.
    """
    drawn = {"made": _made(record), "inversions": _inversions(record, facts), "course": _course(record)}
    drawn = {name: text for name, text in drawn.items() if text}
    live = f"{address}?run={run.id}" if address else ""
    parts = "".join(_part(part, verdict(facts), set(drawn), live) for part in PARTS)
    again = f'<p><a href="{escape(live)}">This run in KD Lab, with every panel</a></p>' if live else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>Verdict: {escape(title(run.spec))}</title>'
        f"<style>{_style()}</style></head><body><h1>{escape(title(run.spec))}</h1>"
        f'<p class="muted">A student at the edge learned from a teacher that only answers questions. Run {run.id}, '
        f"seed {run.spec.seed}.</p>{parts}{''.join(drawn.values())}{_settings(run)}{again}</body></html>"
    )


def _style() -> str:
    text = STYLE
    for name in ("INK", "MUTED", "GRID", "PAPER", "TEACHER", "STUDENT"):
        pair = getattr(theme, name)
        text = text.replace(f"{name}_L", pair["light"]).replace(f"{name}_D", pair["dark"])
    return text


def _part(part: str, said: list[Said], drawn: set[str], live: str) -> str:
    own = [_sentence(one, drawn, live) for one in said if one.part == part]
    return f"<section><h2>{PARTS[part]}</h2><ul>{''.join(own)}</ul></section>" if own else ""  # type: ignore[index]


def _sentence(one: Said, drawn: set[str], live: str) -> str:
    """A sentence, with the way to its figure in this file or to its live panel."""
    place = PLACES.get(one.panel, one.panel)
    href = f"#{place}" if place in drawn else f"{live}#{anchor(one.panel)}" if live else ""
    way = f' <a href="{escape(href)}">see</a>' if href else ""
    return f"<li>{escape(one.text)}{way}</li>"


def anchor(panel: str) -> str:
    """Where a panel or a section stands on the Black box page."""
    return panel if panel in ("frontier", "microscope") else f"panel-{panel}"


def _picture(pixels: np.ndarray, name: str) -> str:
    return f'<img src="{png_url(pixels, enlarge=True)}" alt="{escape(name)}">'


def _made(record: Record) -> str:
    """The made images with the teacher's class, above real local ones."""
    made, local, told = record.frame.get("made_x"), record.static.get("local_x"), record.frame.get("made_logits")
    if made is None or record.started is None:
        return ""
    names = ["" for _ in made] if told is None else [record.started.classes[k] for k in told.argmax(1)]
    wall = "".join(f"<span>{_picture(x, 'made')}{escape(name)}</span>" for x, name in zip(made, names, strict=False))
    beside = "" if local is None else "".join(f"<span>{_picture(x, 'local')}</span>" for x in local[:HELD])
    below = f'<figcaption>Local images, which stay at the edge:</figcaption><div class="wall">{beside}</div>'
    caption = "Made images, which are sent, with the teacher's class."
    return _figure("made", "The made images", f'<div class="wall">{wall}</div>', caption) + (below if beside else "")


def _inversions(record: Record, facts: Facts) -> str:
    """Images, and those that the generator makes of both answers; never without cycle accuracy."""
    rows = [record.frame.get(f"inverse_{who}") for who in ("teacher", "student")]
    if any(row is None for row in rows):
        return ""
    shown = [record.static["probe_x"], *rows]
    count = min(INVERTED, *(len(row) for row in shown if row is not None))
    cells = ""
    for name, row in zip(("image", "G(teacher)", "G(student)"), shown, strict=True):
        assert row is not None
        cells += f"<span>{name}</span>" + "".join(_picture(x, name) for x in row[:count])
    grid = f'<div class="rows" style="grid-template-columns: 5rem repeat({count}, minmax(2rem, 1fr))">{cells}</div>'
    cycle = facts.notes.get("cycle")
    known = "was not measured" if cycle is None else f"is {percent(cycle)}"
    return _figure(
        "inversions", "Inversions", grid, f"What the generator makes of both answers. Cycle accuracy {known}."
    )


def _course(record: Record) -> str:
    """Validation accuracy over the steps as one line, the teacher's beside it."""
    seen = [one for one in record.evaluations if one.split == "val"]
    if len(seen) < 2 or record.started is None:
        return ""
    steps = record.started.steps
    sides: list[tuple[str, list[tuple[float, float]]]] = [
        ("student", [(one.step / steps, one.student.accuracy) for one in seen]),
        ("teacher", [(one.step / steps, one.teacher.accuracy) for one in seen if one.teacher]),
    ]
    lines = "".join(_line(name, points) for name, points in sides if points)
    marks = "".join(
        f'<text x="0" y="{_y(share) + 4:.0f}">{100 * share:.0f} %</text>'
        f'<line x1="48" x2="{WIDTH}" y1="{_y(share):.0f}" y2="{_y(share):.0f}" stroke="var(--grid)"/>'
        for share in (0.0, 0.5, 1.0)
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Accuracy over steps">{marks}{lines}</svg>'
    return _figure("course", "Accuracy on validation images", svg, f"From the first step to step {steps:,}.")


def _y(share: float) -> float:
    return 16 + (1 - share) * (HEIGHT - 32)


def _line(name: str, points: list[tuple[float, float]]) -> str:
    places = " ".join(f"{48 + x * (WIDTH - 120):.1f},{_y(y):.1f}" for x, y in points)
    end = points[-1]
    where = f'x="{54 + end[0] * (WIDTH - 120):.0f}" y="{_y(end[1]) + (4 if name == "student" else -6):.0f}"'
    colour = f"var(--{name})"
    return (
        f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        f'<text {where} style="fill:{colour}">{name}</text>'
    )


def _figure(name: str, heading: str, body: str, caption: str) -> str:
    return f'<h2 id="{name}">{heading}</h2><figure>{body}<figcaption>{escape(caption)}</figcaption></figure>'


def _settings(run: Run) -> str:
    """What was asked for, in short; the hash names all of it."""
    spec = run.spec
    rows: dict[str, Any] = {
        "data": entry("data", spec.data.name)["title"],
        "share the edge owns": percent(float(str(spec.data.knobs["train_fraction"]))),
        "the teacher tells": spec.access,
        "source": _said(spec.source.name, spec.source.knobs),
        "method": _said(spec.method.name, spec.method.knobs),
        "student's steps": f"{spec.schedule.steps:,} of {spec.schedule.batch} images",
        "settings' hash": run.hash,
    }
    told = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<h2>Settings</h2><table>{told}</table>"


def _said(name: str, knobs: Any) -> str:
    return f"{name}: " + ", ".join(f"{knob} {value}" for knob, value in knobs.items()) if knobs else name
