"""Which rows are meant: a selection as text, in all panels and in the link.

A selection is terms joined by ";", all of which hold: `part=teacher_only;true=3`. A term is a key, "=" and a value:
    part=teacher_only         one of PARTS
    cause=capacity            one of CAUSES: why the two disagree there
    true=3, teacher=5, student=3     a class by its place; several are joined by "+"
    <column>=0.2..0.5         a column's values from the first number up to, but without, the second; either may be left
                              out, and the last bin of anything is closed by leaving it out
    <column>=3                exactly this value, for columns of whole numbers such as clusters
    rows=4+17                 these rows
    box.<part>=x0,x1,y0,y1    inside a box in the plane of that part, whose arrays "x" and "y" are (N,) coordinates;
                              box.<part>.teacher reads "teacher_x" and "teacher_y"
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdcore.comparison.case import PARTS, Case, Rows
from kdcore.comparison.causes import CAUSES, causes
from kdcore.comparison.embedding import plane_of
from kdcore.errors import BadInput, unknown

Bools = NDArray[np.bool_]
CLASSES = {"true": "is", "teacher": "teacher says", "student": "student says"}
LONGEST = 1000  # characters of a selection


class SelectionTerm(NamedTuple):
    """One condition."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


def parse(text: str) -> tuple[SelectionTerm, ...]:
    """Return the terms of a selection.

    Raises:
        BadInput: it reads otherwise.
    """
    if len(text) > LONGEST:
        raise BadInput(f"A selection has at most {LONGEST} characters, but got {len(text)}; select less at once.")
    terms = [part.partition("=") for part in text.split(";") if part]
    for key, sign, value in terms:
        if not (key and sign and value):
            raise BadInput(f"A selection reads key=value;key=value, but got {text[:60]!r}.")
    return tuple(SelectionTerm(key, value) for key, _, value in terms)


def written(terms: tuple[SelectionTerm, ...]) -> str:
    """Return the text of a selection."""
    return ";".join(map(str, terms))


def without(text: str, key: str) -> str:
    """Return a selection without the term of a key, for a button that takes it back."""
    return written(tuple(term for term in parse(text) if term.key != key))


def mask(case: Case, text: str) -> Bools:
    """Which rows (N,) a selection means; all of them for "".

    Raises:
        BadInput: it names what this case does not have.
    """
    found = np.ones(len(case.rows), dtype=np.bool_)
    for term in parse(text):
        found &= _holds(case, term)
    return found


def chosen(case: Case, text: str, *own: str) -> Bools | None:
    """Return the same for panels: None where nothing is selected, or nothing that this case has.

    Args:
        case: the case.
        text: the selection.
        own: keys that the panel itself is about; it shows all of them, whatever of them is selected.
    """
    try:
        terms = tuple(term for term in parse(text) if term.key not in own)
        return mask(case, written(terms)) if terms else None
    except BadInput:
        return None


def value(text: str, key: str) -> str | None:
    """Return what a selection says of a key; None where it says nothing."""
    try:
        return next((term.value for term in parse(text) if term.key == key), None)
    except BadInput:
        return None


def told(case: Case, text: str) -> list[tuple[str, str]]:
    """Return the terms in words, each with its key: [("part", "teacher only"), ("true", "is Shirt")]."""
    return [(term.key, _words(case, term)) for term in parse(text)]


def _holds(case: Case, term: SelectionTerm) -> Bools:
    rows = case.rows
    if term.key == "part":
        if term.value not in PARTS:
            raise unknown("part", term.value, PARTS)
        return np.asarray(_two(case).part == list(PARTS).index(term.value))
    if term.key == "cause":
        if term.value not in CAUSES:
            raise unknown("cause", term.value, CAUSES)
        _two(case)
        return np.asarray(causes(case).code == list(CAUSES).index(term.value))
    if term.key in CLASSES:
        if term.key == "teacher":
            _two(case)
        answers = {
            "true": lambda: rows.labels,
            "teacher": lambda: rows.teacher_top,
            "student": lambda: rows.student_top,
        }
        return np.isin(answers[term.key](), _places(case, term))
    if term.key == "rows":
        return np.isin(np.arange(len(rows)), [_whole(part, term) for part in term.value.split("+")])
    if term.key.startswith("box."):
        return _boxed(case, term)
    if term.key not in case.columns:
        raise unknown("column", term.key, [*CLASSES, "part", "cause", "rows", *case.columns])
    return _within(case.columns[term.key], term)


def _two(case: Case) -> Rows:
    if case.rows.teacher is None:
        raise BadInput("There is no teacher here, so no part of the rows is its; leave it out of the selection.")
    return case.rows


def _places(case: Case, term: SelectionTerm) -> list[int]:
    """Classes by their places."""
    found = [_whole(part, term) for part in term.value.split("+")]
    if not all(0 <= place < len(case.classes) for place in found):
        raise BadInput(f"Classes are numbered 0 to {len(case.classes) - 1}, but the selection says {str(term)[:60]!r}.")
    return found


def _whole(text: str, term: SelectionTerm) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"Whole numbers are needed in {str(term)[:60]!r}.") from None


def _bounds(term: SelectionTerm) -> tuple[float, float]:
    """From and up to; the second is not among them, unless both are the same number."""
    low, dots, high = term.value.partition("..")
    try:
        first = float(low) if low else -math.inf
        last = (float(high) if high else math.inf) if dots else first
    except ValueError:
        raise BadInput(f"Numbers are needed in {str(term)[:60]!r}, such as 0.2..0.5.") from None
    return first, last


def _within(values: np.ndarray, term: SelectionTerm) -> Bools:
    first, last = _bounds(term)
    if first == last:
        return np.asarray(values == first)
    return np.asarray((values >= first) & ((values < last) | (last == math.inf)))


def _boxed(case: Case, term: SelectionTerm) -> Bools:
    plane = plane_of(case, term.key.removeprefix("box."))
    if plane is None:
        raise BadInput(f"This case has no plane named {term.key.removeprefix('box.')[:40]!r}; make it first.")
    try:
        x0, x1, y0, y1 = map(float, term.value.split(","))
    except ValueError:
        raise BadInput(f"A box reads x0,x1,y0,y1, but got {str(term)[:60]!r}.") from None
    x, y = plane
    return np.asarray((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))


def _words(case: Case, term: SelectionTerm) -> str:
    if term.key == "part":
        return next((said for part, said in PARTS.items() if part == term.value), term.value)
    if term.key == "cause":
        return next((said for cause, said in CAUSES.items() if cause == term.value), term.value)
    if term.key in CLASSES:
        named = [case.classes[place] for place in _places(case, term)]
        return f"{CLASSES[term.key]} {' or '.join(named)}"
    if term.key == "rows":
        return f"{len(term.value.split('+'))} rows" if "+" in term.value else f"row {term.value}"
    if term.key.startswith("box."):
        part, _, side = term.key.removeprefix("box.").partition(".")
        return f"a box in the {part}" + (f", {side}'s places" if side else "")
    return f"{term.key} {_range(*_bounds(term))}"


def _range(first: float, last: float) -> str:
    if first == last:
        return f"= {first:g}"
    if last == math.inf:
        return f"≥ {first:g}"
    return f"< {last:g}" if first == -math.inf else f"from {first:g} to {last:g}"
