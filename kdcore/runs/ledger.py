"""The file of answers that were paid for, and what asking for them took. No torch is imported here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kdcore.atomic import write_text
from kdcore.events import Meter

if TYPE_CHECKING:
    from kdcore.contracts.service import Answered

DUE = ".due"  # ending of the file beside a book that tells what the newest request takes with it
DIGEST = 16  # bytes that tell one image from another
SPENT = [("requests", "<u2"), ("retried", "<u2"), ("bytes_up", "<u4"), ("bytes_down", "<u4")]
BOOKS = ("asked.bin", "looked.bin")  # in a run's folder: what learning asked, and what only measuring asked
BY_HAND = Path("microscope", "asked.bin")  # below a run's folder: what a person asked from the microscope


class Totals(NamedTuple):
    """Images in a ledger, and real ones among them, local or held out."""

    images: int
    real: int


def totals(path: Path, classes: int) -> Totals:
    """Return what a ledger's file holds, without opening it for writing; nothing where there is none."""
    if not path.exists():
        return Totals(0, 0)
    rows = np.fromfile(path, dtype=_kind(classes))
    return Totals(len(rows), int(rows["local"].sum()))


def count(path: Path, classes: int) -> int:
    """How many images a ledger's file holds, without reading it."""
    return _whole(path, _kind(classes)) if path.exists() else 0


def _whole(path: Path, kind: np.dtype[np.void]) -> int:
    """Return records that are not cut off."""
    return path.stat().st_size // kind.itemsize


def left(folder: Path, classes: int, budget: int) -> int | None:
    """Images that a run's budget still has, also for a person who asks; None where nothing limits them."""
    return max(0, budget - sum(count(folder / name, classes) for name in (BY_HAND, *BOOKS))) if budget else None


def outlay(paid: Ledger, looked: Ledger, charged: Sequence[Ledger], cached: int = 0) -> Meter:
    """All that has left: also answers that no step has used yet, and what was sent without a reply.

    Args:
        paid, looked: the books of learning and of measuring.
        charged: those whose requests and bytes count.
        cached: answers from memory.
    """
    sums = {name: sum(book.whole(name) for book in charged) for name, _ in SPENT}
    return Meter(
        images=len(paid), local=paid.whole("local"), looked=len(looked), looked_real=looked.whole("local"),
        cached=cached, **sums,
    )  # fmt: skip


def left_behind(folder: Path) -> Meter | None:
    """All that a run whose process is gone sent to a remote teacher, the request under way included; None where it
    sent nothing."""
    pending = [_pending((folder / name).with_suffix(DUE)) for name in BOOKS]
    classes = next((one["classes"] for one in pending if one), None)
    if classes is None:
        return None
    paid, looked = (Ledger(folder / name, classes, frozen=True) for name in BOOKS)
    return outlay(paid, looked, (paid, looked))


def _pending(path: Path) -> dict[str, int] | None:
    """Return what was noted before the newest request; None where nothing was sent, or a crash cut the note off."""
    text = path.read_text() if path.exists() else ""
    return json.loads(text) if text.endswith("}") else None


def _kind(classes: int) -> np.dtype[np.void]:
    """One record."""
    return np.dtype([("digest", f"V{DIGEST}"), ("local", "?"), *SPENT, ("answer", "<f4", (classes,))])


class Ledger:
    """Every answer that was paid for, by the digest of its question, in a file that only grows.

    A record is the digest, whether the image was local, what asking it took, and the answer (C,) float32. A record cut
    off by a crash is passed over: its answer was never used.

    `counted` marks the records whose questions the run has asked up to its current step. A run resumed from a
    checkpoint finds answers to questions of later steps, which it paid before it broke off: each is counted once the
    run asks for it again, so that the meter of a step does not depend on interruptions.

    What a request takes with it is noted before it leaves. What of it is written down afterwards neither as answers nor
    as a loss, since the process ended or the disk was full, counts as lost for the next one to open the file.

    Args:
        path, classes: of the file, and of an answer.
        frozen: whether it is another's book, which is only read; all in it counts.
    """

    def __init__(self, path: Path, classes: int, frozen: bool = False) -> None:
        self.path = path
        self.kind = _kind(classes)
        if not frozen:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            with path.open("r+b") as file:
                file.truncate(_whole(path, self.kind) * self.kind.itemsize)
        self.places: dict[bytes, int] = {}
        self.rows = np.zeros(0, dtype=self.kind)  # of which the first len(self) are filled
        self.counted = np.zeros(0, dtype=bool)  # likewise
        self.sums = dict.fromkeys(("local", *(name for name, _ in SPENT)), 0)  # over the counted records
        self.count = 0  # of the counted records
        self.lost = dict.fromkeys((name for name, _ in SPENT), 0)  # spent on calls that were never answered
        self.losses = 0  # calls that were never answered
        self._lost, self._due = path.with_suffix(".lost"), path.with_suffix(DUE)
        for line in self._lost.read_text().splitlines() if self._lost.exists() else ():
            if line.endswith("}"):  # else a crash cut it off
                self._add_lost(json.loads(line))
        self._take(np.fromfile(path, dtype=self.kind) if path.exists() else self.rows)
        if frozen:
            self.recount(np.ones(len(self), dtype=bool))
        if unanswered := self._unanswered():
            (self._add_lost if frozen else self.lose)(unanswered)

    def begin(self, spent: Mapping[str, int]) -> None:
        """Note what a call has taken once its next request has left, before it leaves."""
        facts = {"records": len(self), "losses": self.losses, "classes": self.kind["answer"].shape[0]}
        write_text(self._due, json.dumps(dict(spent) | facts))

    def _unanswered(self) -> dict[str, int] | None:
        """Return what the newest call took beyond the answers and the loss that were written down; None where that
        is all.
        """
        pending = _pending(self._due)
        if not pending or pending["losses"] != self.losses or pending["records"] > len(self):
            return None
        written = self.rows[pending["records"] : len(self)]
        spent = {name: max(0, pending[name] - int(written[name].sum())) for name in self.lost}
        spent["retried"] = max(0, spent["retried"] - len(written))
        return spent if spent["retried"] else None

    def lose(self, spent: Mapping[str, int]) -> None:
        """Write down what a call took that was never answered."""
        with self._lost.open("a") as file:
            file.write(f"\n{json.dumps(dict(spent))}\n")  # a line that a crash cut off ends here
        self._add_lost(spent)

    def _add_lost(self, spent: Mapping[str, int]) -> None:
        self.losses += 1
        for name in self.lost:
            self.lost[name] += spent[name]

    def __len__(self) -> int:
        return len(self.places)

    def add(self, digests: list[bytes], answered: Answered, local: bool, up: int, down: int) -> None:
        """Keep and count answers to new questions; they are on disk before this returns. `up` and `down` are bytes a
        question, for what was not really sent."""
        count = len(digests)
        rows = np.zeros(count, dtype=self.kind)
        rows["digest"], rows["local"] = np.array(digests, dtype=f"V{DIGEST}"), local
        rows["answer"] = answered.logits.cpu().numpy()
        rows["requests"][0], rows["retried"][0] = answered.requests, answered.retried
        rows["bytes_up"] = _shares(answered.bytes_up, up, count)
        rows["bytes_down"] = _shares(answered.bytes_down, down, count)
        try:
            with self.path.open("ab") as file:
                file.write(rows.tobytes())
        except OSError:  # the disk took a part at most
            os.truncate(self.path, _whole(self.path, self.kind) * self.kind.itemsize)
            self._keep(rows[: _whole(self.path, self.kind) - len(self)], digests)
            if unanswered := self._unanswered():
                self._add_lost(unanswered)  # the next to open the file writes that down
            raise
        self._keep(rows, digests)

    def _keep(self, rows: np.ndarray, digests: list[bytes]) -> None:
        self._take(rows)
        self.ask(digests[: len(rows)])

    def recall(self, digests: list[bytes]) -> np.ndarray:
        """Answers (B, C) to known questions."""
        found: np.ndarray = self.rows["answer"][[self.places[digest] for digest in digests]]
        return found

    def has_counted(self, digest: bytes) -> bool:
        """Whether the run has asked this question up to its current step."""
        return digest in self.places and bool(self.counted[self.places[digest]])

    def ask(self, digests: list[bytes]) -> None:
        """Count known questions, each the first time that the run asks it."""
        self._count([self.places[digest] for digest in digests if not self.has_counted(digest)])

    def recount(self, counted: np.ndarray) -> None:
        """Count exactly the records marked in `counted` (N,), bool; those behind its end are not counted."""
        self.counted[:] = False
        self.sums, self.count = dict.fromkeys(self.sums, 0), 0
        self._count(np.flatnonzero(counted[: len(self)]).tolist())

    def whole(self, name: str) -> int:
        """Return the sum of a column over all records, counted or not, with what was spent on calls never answered."""
        return int(self.rows[name][: len(self)].sum()) + self.lost.get(name, 0)

    def _count(self, places: list[int]) -> None:
        self.counted[places] = True
        self.count += len(places)
        for name in self.sums:
            self.sums[name] += int(self.rows[name][places].sum())

    def _take(self, rows: np.ndarray) -> None:
        held = len(self.places)
        if held + len(rows) > len(self.rows):
            room = max(1024, 2 * (held + len(rows))) - len(self.rows)
            self.rows = np.concatenate([self.rows, np.zeros(room, dtype=self.kind)])
            self.counted = np.concatenate([self.counted, np.zeros(room, dtype=bool)])
        self.rows[held : held + len(rows)] = rows
        self.places.update((digest.tobytes(), held + place) for place, digest in enumerate(rows["digest"]))


def _shares(sent: int | None, each: int, count: int) -> np.ndarray:
    """Bytes a question, so that they add up to what was sent."""
    whole = each * count if sent is None else sent
    shares = np.full(count, whole // count, dtype=np.uint32)
    shares[0] += whole % count
    return shares
