"""Numbers of rows as short text, such as 3,7-12, and back. No torch is imported here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from kdcore.errors import BadInput

MOST = 4096  # rows in one text, so that a spec stays small
PART = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")


def written(rows: Iterable[int]) -> str:
    """Return the text of rows; each counts once, and their order is lost."""
    ordered = sorted({int(row) for row in rows})
    runs = [[row for _, row in run] for _, run in groupby(enumerate(ordered), lambda one: one[1] - one[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def read(text: str) -> list[int]:
    """Return the rows of a text, ascending; [] for "".

    Raises:
        BadInput: it reads otherwise, or means more than MOST rows.
    """
    found: set[int] = set()
    for part in text.split(",") if text.strip() else ():
        match = PART.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise BadInput(f"Rows read like 3,7-12, from the lower to the higher, but got {part.strip()[:40]!r}.")
        if last - first >= MOST or len(found | set(range(first, last + 1))) > MOST:
            raise BadInput(f"At most {MOST} rows can be named, but the text means more; name fewer.")
        found.update(range(first, last + 1))
    return sorted(found)
