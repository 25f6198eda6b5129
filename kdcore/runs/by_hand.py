"""How many images a person sent to a run's teacher by hand, here or where the run was exported. No torch is imported.

The book of such queries stays at home, as it tells one image from another; a record carries only its counts.
"""

from __future__ import annotations

import json
from pathlib import Path

from kdcore.runs.ledger import BY_HAND, Totals, totals
from kdcore.untrusted import read_json, read_text

CARRIED = "by_hand.json"  # in a record: what was sent by hand before it was exported
MOST = 2**53  # what a double holds exactly


def by_hand(folder: Path, classes: int) -> Totals:
    """Return all that was sent by hand to the teacher of the run in `folder`, and real ones among them.

    Raises:
        ValueError: the counts that the record carries are none.
    """
    here, before = totals(folder / BY_HAND, classes), carried(folder)
    return Totals(here.images + before.images, here.real + before.real)


def carried(folder: Path) -> Totals:
    """Return the counts that a record carries; none in those written before records did.

    Raises:
        ValueError: they are no counts.
    """
    if not (folder / CARRIED).exists():
        return Totals(0, 0)
    told = read_json(read_text(folder / CARRIED))
    images, real = (told.get(name) if isinstance(told, dict) else None for name in ("images", "real"))
    if type(images) is not int or type(real) is not int or not 0 <= real <= images <= MOST:
        raise ValueError(f"{CARRIED} holds no counts of images")
    return Totals(images, real)


def carry(found: Totals, record: Path) -> None:
    """Write the counts into the folder of a record, where there are any."""
    if found.images:
        (record / CARRIED).write_text(json.dumps(found._asdict()))
