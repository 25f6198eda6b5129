"""Pictures and tables of the verdict's file, each a piece of HTML that needs nothing else; "" where there is none."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from app.panels._png import png_url
from app.reports.verdict import Facts
from app.text.phrases import answer, measured, money, percent, quantity
from app.text.run_names import changes
from kdcore.jobs.rows import Run
from kdcore.runs.bill import bill
from kdcore.runs.private_rows import without_rows
from kdcore.runs.record import Record
from kdcore.spec.catalogue import entry

LOCAL = 12  # local images in a row
INVERTED = 8  # probe rows with their inversions
WIDTH, HEIGHT = 640, 200  # of the course, in its own units
COVERAGE = {
    "class_entropy": "class entropy, nats",
    "confidence": "teacher's mean confidence",
    "argmax_inverse": "latents whose largest number is their image's class",
    "frechet": "Fréchet distance to local images, fixed random features",
}
COPIES = {
    "copies_judged": "synthetic images judged",
    "copies_held": "held-out images",
    "copies_local": "local images",
    "copies_twins": "held-out images that equal a local one",
    "copies_references": "held-out images of which these were counted",
    "copies_matched": "exact or near matches of local images",
    "copies_closer": "closer to a local image than the closest 1 % of held-out images",
    "copies_closer_p": "p of that count",
    "copies_nearest": "real images that are the nearest to some synthetic one",
    "nearer_local": "share of nearest real images that are local",
    "copies_p": "p of that share, one-sided sign test",
    "copies_finds_exact": "smallest share of exact copies found with probability 0.8",
    "copies_finds": "smallest share of shifted, noisy copies found with probability 0.8",
}


def figures(facts: Facts, record: Record, real: bool) -> dict[str, str]:
    """All there are, by the name of their place in the file; local and held-out images, and what is made of them, only
    where `real`."""
    shown = record if real else without_rows(record)
    found = {
        "made": _made(shown, record, real),
        "inversions": _inversions(shown, facts),
        "course": _course(shown),
        "meter": _meter(facts),
        "coverage": _measured(facts, "coverage", "Coverage of the synthetic images", COVERAGE),
        "copies": _measured(facts, "copies", "Copies of local images", COPIES),
        "frontier": _beside(facts),
    }
    return {name: text for name, text in found.items() if text}


def _picture(pixels: np.ndarray, name: str) -> str:
    return f'<img src="{png_url(pixels, enlarge=True)}" alt="{escape(name)}">'


def _made(shown: Record, record: Record, real: bool) -> str:
    """Synthetic images with the teacher's class; local ones below them where they may be shown."""
    if "made_x" not in record.frame or record.started is None:
        return ""
    made, told = shown.frame.get("made_x", record.frame["made_x"][:0]), shown.frame.get("made_logits")
    names = ["" for _ in made] if told is None else [record.started.classes[k] for k in told.argmax(1)]
    pictures = zip(made, names, strict=True) if len(made) else ()
    wall = "".join(f"<span>{_picture(x, 'synthetic')}{escape(name)}</span>" for x, name in pictures)
    left = _left_out(len(record.frame["made_x"]) - len(made), real)
    caption = f"Synthetic images, which are sent, with the teacher's class. {left}"
    figure = _figure("made", "Synthetic images", f'<div class="wall">{wall}</div>', caption)
    beside = "".join(f"<span>{_picture(x, 'local')}</span>" for x in shown.static.get("local_x", made[:0])[:LOCAL])
    below = f'<figcaption>Local images of the edge:</figcaption><div class="wall">{beside}</div>'
    return figure + (below if beside else "")


def _left_out(copies: int, real: bool) -> str:
    """What the file does not hold."""
    if real:
        return ""
    too = f", among them {copies} synthetic ones that match or contain a local image" if copies else ""
    return f"Left out of this file: local and held-out images, and images made of them{too}."


def _inversions(record: Record, facts: Facts) -> str:
    """Images, and those that the generator makes of both answers; never without cycle accuracy."""
    rows = [record.frame.get(f"inverse_{who}") for who in ("teacher", "student")]
    if any(row is None for row in rows) or "probe_x" not in record.static:
        return ""
    shown = [record.static["probe_x"], *rows]
    count = min(INVERTED, *(len(row) for row in shown if row is not None))
    cells = ""
    for name, row in zip(("image", "G(teacher)", "G(student)"), shown, strict=True):
        assert row is not None
        cells += f"<span>{name}</span>" + "".join(_picture(x, name) for x in row[:count])
    grid = f'<div class="rows" style="grid-template-columns: 5rem repeat({count}, minmax(2rem, 1fr))">{cells}</div>'
    known = "was not measured"
    if "cycle" in facts.notes:
        known = f"is {measured(facts.notes, 'cycle', 1 / facts.classes)}"
    return _figure("inversions", "Inversions", grid, f"Images generated from both outputs. Cycle accuracy {known}.")


def _course(record: Record) -> str:
    """Validation accuracy over the steps as one line, the teacher's beside it."""
    seen = [one for one in record.evaluations if one.split == "val"]
    if len(seen) < 2 or record.started is None:
        return ""
    steps, lead, last = record.started.steps, record.started.lead, seen[-1].step
    if not last:
        return ""
    own = [(one.step / last, one.student.accuracy) for one in seen]
    own.insert(1, (min(lead, last) / last, own[0][1]))  # while the source learns alone, the student waits
    sides = [("student", own), ("teacher", [(one.step / last, one.teacher.accuracy) for one in seen if one.teacher])]
    lines = "".join(_line(name, points) for name, points in sides if points)
    marks = "".join(_level(share) for share in (0.0, 0.5, 1.0))
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Accuracy over steps">{marks}{lines}</svg>'
    begins = f"; the student begins at step {lead:,}" if lead else ""
    of = "" if last == steps else f" of {steps:,}"
    return _figure("course", "Accuracy on validation images", svg, f"From the first step to step {last:,}{of}{begins}.")


def _level(share: float) -> str:
    """A line across, and its percent."""
    y = f"{_y(share):.0f}"
    return (
        f'<text x="0" y="{_y(share) + 4:.0f}">{100 * share:.0f} %</text>'
        f'<line x1="48" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="var(--grid)"/>'
    )


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


def _meter(facts: Facts) -> str:
    """Everything that was counted."""
    meter, wall = facts.ended.meter, facts.spec.wall
    if meter is None or wall is None:
        return ""
    told = bill(facts.spec, meter)
    rows: dict[str, Any] = {
        "queries (different images)": f"{told.images:,}",
        "to learn from": f"{told.learning:,}",
        "for measuring alone": f"{told.measuring:,}",
        "local or held-out images sent": "not counted" if told.real is None else f"{told.real:,}",
        "requests": f"{meter.requests:,}",
        "sent": quantity(meter.bytes_up, "B"),
        "received": quantity(meter.bytes_down, "B"),
        "price per 1,000": money(wall.price),
        "cost": money(told.dollars),
        "budget": f"{wall.budget:,} images" if wall.budget else "none",
    }
    return _table("meter", "Queries and cost", rows)


def _measured(facts: Facts, name: str, heading: str, notes: dict[str, str]) -> str:
    """Numbers that the last frame measured; "" where it measured none of them."""
    rows = {said: _number(facts, note) for note, said in notes.items() if note in facts.notes}
    return _table(name, heading, rows) if rows else ""


def _number(facts: Facts, note: str) -> str:
    """A number, or a share of latents with its count and its chance level."""
    if note == "argmax_inverse":
        return measured(facts.notes, note, 1 / facts.classes)
    return f"{facts.notes[note]:.4g}"


def _beside(facts: Facts) -> str:
    """This student beside one that learned on the edge's real images."""
    own = facts.ended.result.get("student_accuracy")
    if own is None or facts.beside is None:
        return ""
    rows = {"this student, test": percent(own), "on the real local images, test": percent(facts.beside.accuracy)}
    return _table("frontier", "Beside real images", rows | {"that run": facts.beside.run})


def settings(run: Run) -> str:
    """What was asked for, in short; the hash names all of it."""
    spec = run.spec
    rows: dict[str, Any] = {
        "data": entry("data", spec.data.name)["title"],
        "share of local images": percent(float(str(spec.data.knobs["train_fraction"]))),
        "teacher output": answer(spec.access, spec.wall),
        **({"data type of the images sent": spec.wall.upload} if spec.wall else {}),
        "source": _said(spec.source.name, spec.source.knobs),
        "method": _said(spec.method.name, spec.method.knobs),
        "student's steps": f"{spec.schedule.steps:,} of {spec.schedule.batch} images",
        **({"changed during training": "; ".join(changes(spec))} if spec.changes else {}),
        "settings' hash": run.hash,
    }
    return _table("settings", "Settings", rows)


def _table(name: str, heading: str, rows: dict[str, Any]) -> str:
    told = "".join(f"<tr><td>{escape(key)}</td><td>{escape(str(value))}</td></tr>" for key, value in rows.items())
    return f'<h2 id="{name}">{heading}</h2><table>{told}</table>'


def _said(name: str, knobs: Any) -> str:
    return f"{name}: " + ", ".join(f"{knob} {value}" for knob, value in knobs.items()) if knobs else name
