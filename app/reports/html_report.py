"""The verdict as one HTML file that opens anywhere: its sentences, the pictures they speak of, and no other file."""

from __future__ import annotations

from html import escape
from math import isfinite

from app import theme
from app.reports.html_figures import figures, settings
from app.reports.verdict import PARTS, Facts, Said, verdict
from app.text.phrases import title
from kdcore.blackbox.frontier import Reference, reference
from kdcore.errors import BadInput
from kdcore.events import Finished
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.jobs.store import Store
from kdcore.probes.copies import counted
from kdcore.runs.by_hand import by_hand
from kdcore.runs.record import Record, gather, read_frame

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
        goes = "wait until it is done" if run.state in ACTIVE else f"let it go on with `kdlab resume {run.id}`"
        raise BadInput(f"Run {run.id} is not over, so there is no verdict on it yet; {goes}.")
    record = gather(run.spec, story, run.folder)
    last = record.frames[-1] if record.frames else None
    record = gather(run.spec, story, run.folder, read_frame(run.folder, last.file) if last else None)
    assert record.started
    rows, classes = record.started.rows["train"], len(record.started.classes)
    held = record.started.rows["val"] + record.started.rows["test"]
    known = {name: value for name, value in last.notes.items() if isfinite(value)} if last else {}
    notes = counted(record, known) if last else {}
    sent = by_hand(run.folder, classes)
    return Facts(run.spec, ended, notes, classes, rows, held, sent, reference_of(store, run)), record


def reference_of(store: Store, run: Run) -> Reference | None:
    """What a student on the edge's real images reaches, as far as this store knows."""
    done = store.runs(states={"done"})
    return reference(run.spec, [(one.id, one.spec, one.result or {}) for one in done])


# The file


def report(run: Run, facts: Facts, record: Record, address: str = "", real: bool = False) -> str:
    """The whole file.

    Args:
        run: the run.
        facts: what the verdict reads.
        record: of the run, with its last frame on show.
        address: of the Black box page of a running KD Lab, for links to live panels; "" leaves them out.
        real: whether the file may hold local and held-out images, and images made of them.
    """
    drawn = figures(facts, record, real)
    live = f"{address}?run={run.id}" if address else ""
    parts = "".join(_part(part, verdict(facts), set(drawn), live) for part in PARTS)
    again = f'<p><a href="{escape(live)}">This run in KD Lab, with every panel</a></p>' if live else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>Verdict: {escape(title(run.spec))}</title>'
        f"<style>{_style()}</style></head><body><h1>{escape(title(run.spec))}</h1>"
        f'<p class="muted">A student learned from a black-box teacher that could only be queried. Run {run.id}, '
        f"seed {run.spec.seed}.</p>{parts}{''.join(drawn.values())}{settings(run)}{again}</body></html>"
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
