"""Columns that a person gives a case: their names, and CSV files of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

import numpy as np

from kdcore.errors import BadInput
from kdcore.probes._numerics import Floats, Ints

ROW = ("row", "index")  # what the column is called that says which row of the split is meant
TAKEN = re.compile(r"(true|teacher|student|part|rows|kl|box\..*|(student|teacher) (confidence|margin|entropy))")
NAME = re.compile(r"[^;=]{1,40}")
LIMIT_BYTES = 50 << 20
MOST = 40  # columns


def check_names(names: Iterable[str]) -> None:
    """Check that columns can be told apart from what selections know already.

    Raises:
        BadInput: a name is taken, too long, or has a sign that selections are written with.
    """
    for name in names:
        if not NAME.fullmatch(name) or TAKEN.fullmatch(name):
            raise BadInput(
                f"A column cannot be called {name[:60]!r}: names have at most 40 characters, none of them ; or =, and "
                "true, part, rows and the like are taken; call it otherwise."
            )


def read_columns(content: bytes, index: Ints) -> dict[str, Floats]:
    """(N,) numbers by name from a CSV with one line per row; `index` (N,) says which row of the split each is.

    Raises:
        BadInput: it is no such CSV, too large, or says nothing of some rows.
    """
    if len(content) > LIMIT_BYTES:
        raise BadInput(f"The CSV has {len(content) >> 20} MB, but at most {LIMIT_BYTES >> 20} are taken; give less.")
    try:
        lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig")), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"The file is no CSV in UTF-8 ({error}); save it as one.") from error
    head = [name.strip() for name in lines[0]] if lines else []
    keys = [name for name in head if name.lower() in ROW]
    if len(keys) != 1 or len(set(head)) < len(head) or not 2 <= len(head) <= MOST:
        raise BadInput(
            f"The first line of the CSV must name 'row' and one to {MOST - 1} further columns, each once, but it reads "
            f"{','.join(head)[:80]!r}."
        )
    names = [name for name in head if name not in keys]
    check_names(names)
    values = _numbers(head, lines[1:])
    order = _places(values[:, head.index(keys[0])], index)
    return {name: values[order, head.index(name)] for name in names}


def _numbers(head: list[str], lines: list[list[str]]) -> Floats:
    """(L, K) finite numbers."""
    found = np.empty((len(lines), len(head)))
    for place, line in enumerate(lines):
        try:
            numbers = [float(cell) for cell in line]
        except ValueError:
            numbers = []
        if len(numbers) == len(head) and np.isfinite(numbers).all():
            found[place] = numbers
        else:
            raise BadInput(
                f"Line {place + 2} of the CSV must be {len(head)} numbers, as the first line names, but it reads "
                f"{','.join(line)[:60]!r}."
            )
    return found


def _places(said: Floats, index: Ints) -> Ints:
    """For each row of the case the line that tells of it."""
    places = {int(row): place for place, row in enumerate(said)}
    if len(places) < len(said) or (said != np.floor(said)).any():
        raise BadInput("The rows of the CSV must be different whole numbers, one line for each; mend its row column.")
    missing = [int(row) for row in index if int(row) not in places]
    if missing:
        raise BadInput(
            f"The CSV says nothing of {len(missing):,} of {len(index):,} rows, first of row {missing[0]}; give a line "
            "for each."
        )
    return np.array([places[int(row)] for row in index], dtype=np.int64)
