"""The register of papers behind the Lab: `assets/library.json`, one row to a line, edited by hand.

A row says what a method does in one line and how sure we are of it. Whether it runs here follows from what there is:
a method or a source that is registered under its name, or a source, a section of the Inspector, a study or a command
that the row points at.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Literal
from urllib.parse import quote_plus

from app.links.inspector import Section
from app.paths import ASSETS
from kdcore.frozen import FrozenModel
from kdcore.spec.catalogue import entry
from kdcore.spec.registry import METHODS, SOURCES

FILE = ASSETS / "library.json"
Kind = Literal["method", "diagnostic", "data", "language method", "reading card"]
Status = Literal["runs here", "reading card", "not implemented"]
Way = Literal["method", "source", "section", "study", "command"]  # what runs a row
CODE = re.compile(r"\b(D\d+|N\d{3}[a-z]|S\d{3})\b")  # of a panel or another row, within the text of a row
ARXIV = re.compile(r"arXiv[:\s]+(\d{4}\.\d{4,5})")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")


class Row(FrozenModel):
    """One row of the register."""

    id: str
    name: str | None = None  # of the runnable method, once there is one
    alias: str | None = None  # what the authors call it
    title: str
    note: str | None = None  # venue, or a second name
    same_as: str | None = None  # id of the row it repeats
    track: str
    says: str  # what it does, and why one would use or read it: two plain sentences
    mechanism: str
    shows: str  # what the dashboard shows, or will show
    source: str | None = None  # the source that does it, where that has another name
    section: Section | None = None  # of the Inspector, which does it
    study: str | None = None  # of assets/studies, which does it
    command: str | None = None  # what does it, where nothing else is to be named
    here: str | None = None  # what is missing to run it, or what the command does
    kind: Kind
    wave: Literal[1, 2, 3] | None = None
    kind_note: str | None = None
    confidence: Literal["A", "B", "C", "D"]
    confidence_note: str | None = None
    identity: bool = False  # an identity of the row was checked numerically

    @property
    def text(self) -> str:
        """Everything a search looks at, in lower case."""
        words = (self.id, self.name, self.alias, self.title, self.note, self.says, self.mechanism, self.shows)
        return " ".join(word for word in words if word).lower()


class Baseline(FrozenModel):
    """A method that the reading list does not hold: what runs are compared with, and kin of its rows."""

    name: str
    title: str
    paper: str
    says: str  # what it does, and why one would use it: two plain sentences
    mechanism: str
    shows: str
    here: str | None = None  # what is missing to run it

    @property
    def text(self) -> str:
        """Everything a search looks at, in lower case."""
        return " ".join((self.name, self.title, self.paper, self.says, self.mechanism, self.shows)).lower()


class Library(FrozenModel):
    """The whole register."""

    tracks: dict[str, str]
    panels: dict[str, str]  # D1 to D19, which rows point at
    notation: tuple[tuple[str, str], ...]
    baselines: tuple[Baseline, ...]
    rows: tuple[Row, ...]


@cache
def library() -> Library:
    """Return the register, read once."""
    return Library.model_validate_json(FILE.read_text(encoding="utf-8"))


def original(row: Row) -> Row:
    """Return the row that a row repeats; itself where it repeats none."""
    return next(other for other in library().rows if other.id == row.same_as) if row.same_as else row


def reference(row: Row | Baseline) -> str:
    """Return authors, venue and year, such as "Park, Kim, Lu and Cho, CVPR 2019"; "" where nobody wrote them down."""
    if (one := _registered(row)) and one.get("paper"):
        return str(one["paper"])
    return row.paper if isinstance(row, Baseline) else (row.note or "") if YEAR.search(row.note or "") else ""


def _registered(row: Row | Baseline) -> dict[str, Any] | None:
    """Return the catalogue's entry of the method or source of a row's own name."""
    kind = "method" if row.name in METHODS else "source" if row.name in SOURCES else None
    return entry(kind, str(row.name)) if kind else None


def address(row: Row | Baseline) -> str:
    """Where the paper can be read: on arXiv where its number is known, else a search for its title."""
    one = _registered(row)
    told = (str(one["source"]) if one else "", row.paper if isinstance(row, Baseline) else "", reference(row))
    known = ARXIV.search(" ".join(told))
    if known:
        return f"https://arxiv.org/abs/{known[1]}"
    sought = row.paper if isinstance(row, Baseline) else row.title
    return f"https://scholar.google.com/scholar?q={quote_plus(sought)}"


def spelled(text: str) -> str:
    """Return a row's text with the names of panels and other rows in the place of their codes."""
    return CODE.sub(lambda code: _name(code[1]), text)


def _name(code: str) -> str:
    if code in library().panels:
        return library().panels[code].partition(":")[0]
    return next((f"\u201c{row.title}\u201d" for row in library().rows if row.id == code), code)


def method_of(row: Row | Baseline) -> str | None:
    """Return the registered method that runs this row, or None."""
    if row.name is None and isinstance(row, Row) and row.same_as is not None:
        return method_of(next(other for other in library().rows if other.id == row.same_as))
    return row.name if row.name in METHODS else None


def ways(row: Row | Baseline) -> dict[Way, str]:
    """Everything that runs a row, by kind; empty where nothing does."""
    if row.name is None and isinstance(row, Row) and row.same_as is not None:
        return ways(next(other for other in library().rows if other.id == row.same_as))
    found: dict[Way, str | None] = {"method": method_of(row), "source": row.name if row.name in SOURCES else None}
    if isinstance(row, Row):
        study = f"kdlab study assets/studies/{row.study}.yaml" if row.study else None
        found |= {"source": row.source or found["source"], "section": row.section}
        found |= {"study": study, "command": row.command}
    return {way: what for way, what in found.items() if what and not (way == "source" and found["method"])}


def status(row: Row | Baseline) -> Status:
    """Return what a person can do with the row today."""
    if ways(row):
        return "runs here"
    return "reading card" if isinstance(row, Row) and row.kind == "reading card" else "not implemented"


def find(
    text: str = "",
    *,
    kinds: Collection[str] = (),
    tracks: Collection[str] = (),
    confidence: Collection[str] = (),
    statuses: Collection[str] = (),
) -> list[Row]:
    """Rows that hold every word of `text` and lie in each filter that is not empty, in the register's order."""
    return [
        row
        for row in library().rows
        if _holds(row, text)
        and (not kinds or row.kind in kinds)
        and (not tracks or row.track in tracks)
        and (not confidence or row.confidence in confidence)
        and (not statuses or status(row) in statuses)
    ]


def beside(text: str = "", *, statuses: Collection[str] = ()) -> list[Baseline]:
    """Baselines and their kin that hold every word of `text` and have one of the statuses, where any is named."""
    return [row for row in library().baselines if _holds(row, text) and (not statuses or status(row) in statuses)]


def _holds(row: Row | Baseline, text: str) -> bool:
    return all(word in row.text for word in text.lower().split())


def place(method: str) -> Row | Baseline | None:
    """Where the register tells of a registered method."""
    rows: tuple[Row | Baseline, ...] = (*library().rows, *library().baselines)
    return next((row for row in rows if row.name == method), None)
