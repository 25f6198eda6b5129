"""The one teacher: it answers, never learns, and shows no more than its access grants.

Behind a wall every question is counted, none is asked twice, and no budget is overrun. What it answered is written to
a file before anybody uses it, so a run that breaks off has paid once for each answer. What is to be measured and is not
part of the learning is asked through `look`: of a network of ours it costs nothing; of an uploaded file it is counted
apart; of a remote teacher it needs the wall's permission, and is paid for and part of the budget like the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.contracts.service import Answered, Line, RemoteLine, Unanswered
from kdcore.engine.answer_cache import AnswerCache
from kdcore.engine.teacher_access import granted, worsened
from kdcore.engine.teacher_payload import packed, traffic
from kdcore.errors import BadInput
from kdcore.events import Meter
from kdcore.runs.ledger import BOOKS, BY_HAND, Ledger, count, outlay
from kdcore.seeding import mix
from kdcore.spec.spec import Wall

Translate = Callable[[Tensor], Tensor]
SUMMED = ("requests", "retried", "bytes_up", "bytes_down")  # over learning and measuring


def _same(x: Tensor) -> Tensor:
    return x


class Spent(Exception):
    """The next question would overrun the budget; it was not asked."""


class UsedUp(Exception):
    """The wall allows no further question for measuring, so a measure is left out."""


class Teacher:
    """Answers for batches of normalised inputs.

    Args:
        ask: what is behind it all: a network for inputs, or the line to a service.
        access: what it grants.
        features: whether the method reads stage features; without them only logits are kept.
        wall: how it answers and what it costs; None counts nothing, and only a network can be asked so.
        folder: where paid answers are kept; with a wall.
        classes: C, with a wall.
        pixels, inputs: from inputs to values from 0 to 1 and back; with a wall.
        seed: of the wall's noise.
        remote: whether images leave this machine to be answered.
        wanted: images that learning asks about at most, which measuring leaves it; None is all that the budget allows.
        closing: images that measuring asks about at the end, which measuring before it leaves, where so many fit.
        before: books of others, whose answers are at hand and are part of the budget.
    """

    def __init__(
        self,
        ask: Net | Line,
        access: Access,
        features: bool = False,
        *,
        wall: Wall | None = None,
        folder: Path | None = None,
        classes: int = 0,
        pixels: Translate = _same,
        inputs: Translate = _same,
        seed: int = 0,
        remote: bool = False,
        wanted: int | None = 0,
        closing: int = 0,
        before: Sequence[Ledger] = (),
    ) -> None:
        self.remote, self.settled, self.before, self.wanted = remote, False, before, wanted
        self.ask, self.access, self.features, self.wall, self.closing = ask, access, features, wall, closing
        self.pixels, self.inputs, self.cached = pixels, inputs, 0
        self.cache = AnswerCache()
        self.seed, self.classes = seed, classes
        if isinstance(ask, Net):
            ask.eval().requires_grad_(False)
        if wall:
            assert folder is not None
            self.by_hand = folder / BY_HAND
            self.paid, self.looked = (Ledger(folder / name, classes) for name in BOOKS)

    @property
    def charged(self) -> tuple[Ledger, ...]:
        """The books that are paid for and limited by the budget: measuring costs only where the teacher is remote."""
        return self.books if self.remote else (self.paid,)

    @property
    def meter(self) -> Meter:
        """What the run has spent up to its current step, however often it was interrupted."""
        if not self.wall:
            return Meter()
        sums = {name: sum(book.sums[name] + book.lost[name] * self.settled for book in self.charged) for name in SUMMED}
        return Meter(
            images=self.paid.count, local=self.paid.sums["local"], looked=self.looked.count,
            looked_real=self.looked.sums["local"], cached=self.cached, **sums,
        )  # fmt: skip

    @property
    def outlay(self) -> Meter:
        """All that has left by now: also answers that only an interrupted attempt has used, and what was sent without
        being answered."""
        if not self.wall:
            return Meter()
        return outlay(*self.books, self.charged, self.cached)

    @property
    def books(self) -> tuple[Ledger, Ledger]:
        """What learning asked, and what only measuring asked."""
        return self.paid, self.looked

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold for the meter to go on from it; {} without a wall."""
        if not self.wall:
            return {}
        books = {"paid": self.paid, "looked": self.looked}
        counted = {name: torch.from_numpy(book.counted[: len(book)].copy()) for name, book in books.items()}
        return counted | {"cached": torch.tensor(self.cached)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put the meter back to a checkpoint's; one of an earlier version says nothing, so all is counted."""
        if self.wall and state:
            self.paid.recount(state["paid"].numpy())
            self.looked.recount(state["looked"].numpy())
            self.cached = int(state["cached"])
        else:
            self.settle()

    def settle(self) -> None:
        """Count every answer that was paid for, also those that only an interrupted attempt has used, and what was sent
        without being answered before it broke off."""
        self.settled = True
        for book in self.books if self.wall else ():
            book.recount(np.ones(len(book), dtype=bool))

    @torch.no_grad()
    def __call__(self, x: Tensor, local: bool = False) -> Outputs:
        """Return the answer to inputs x (B, ...); `local` says that they are the edge's own.

        Raises:
            Spent: the budget does not reach for it; nothing was asked.
            BadInput: the answer is no number.
        """
        if self.wall is None:
            return self._plain(x)
        sent, digests = self._packed(x)
        new, fresh = self._new(digests)
        if not self._affords(len(new), len(fresh)):
            raise Spent
        if fresh:
            self._buy(self.paid, sent, fresh, digests, local)
        self.cached += len(digests) - len(new)
        return self._known(digests, x.device)

    def _new(self, digests: list[bytes]) -> tuple[list[int], list[int]]:
        """Rows of different questions that the run has not asked yet, and those of them whose answer is not at hand."""
        books = (*self.books, *self.before)
        new = [row for row in _first_of_each(digests) if not any(book.has_counted(digests[row]) for book in books)]
        return new, [row for row in new if not any(digests[row] in book.places for book in books)]

    def _affords(self, new: int, fresh: int) -> bool:
        """Whether the budget allows so many more questions, of which `fresh` must be sent."""
        assert self.wall is not None
        asked, held = sum(book.count for book in self.charged), sum(len(book) for book in self.charged)
        return not self.wall.budget or max(asked + new, held + fresh) + self._others() <= self.wall.budget

    def _others(self) -> int:
        """Images that others sent to a remote teacher on the same budget."""
        by_hand = count(self.by_hand, self.classes) if self.remote else 0
        return by_hand + sum(len(book) for book in self.before)

    def _known(self, digests: list[bytes], device: torch.device) -> Outputs:
        """Answers (B, C) that are at hand, whoever asked first; the run has asked for them from now on."""
        found = np.zeros((len(digests), self.classes), dtype=np.float32)
        left = np.ones(len(digests), dtype=bool)
        for book in (*self.books, *self.before):
            chosen = left & np.array([digest in book.places for digest in digests])
            some = [digests[row] for row in np.flatnonzero(chosen)]
            book.ask(list(dict.fromkeys(some)))
            found[chosen] = book.recall(some)
            left &= ~chosen
        return Outputs(torch.from_numpy(found).to(device), ())

    @torch.no_grad()
    def look(self, x: Tensor, real: bool = True) -> Outputs | None:
        """Return the answer to inputs x (B, ...) for those who only measure; None where the wall allows no more.

        Of a network of ours it costs nothing, and it is not worsened. `real` says that x are no synthetic images.
        """
        if self.wall is None or isinstance(self.ask, Net):
            return self._plain(x)
        sent, digests = self._packed(x)
        new, fresh = self._new(digests)
        if new and not self._may_look(len(new), len(fresh), real):
            return None
        if fresh:
            self._buy(self.looked, sent, fresh, digests, local=real)
        return self._known(digests, x.device)

    def _may_look(self, new: int, fresh: int, real: bool) -> bool:
        """Whether measuring may ask so many more questions, of which `fresh` must be sent."""
        assert self.wall is not None
        room = self._room()
        closing = self.closing if self._looks_at(real=True) and self.closing <= room else 0
        held = len(self.looked) + fresh + (closing if fresh else 0)  # an end that broke off has sent its part before
        if max(self.looked.count + new + closing, held) > room:
            return False
        return not self.remote or (self._looks_at(real) and self._affords(new, fresh))

    def _looks_at(self, real: bool) -> bool:
        """Whether the wall lets measuring ask about real, or about synthetic images."""
        assert self.wall is not None
        return not self.remote or self.wall.allows("real" if real else "synthetic")

    def _room(self) -> int:
        """Images that measuring may ask about in all, beside what learning wants of the budget."""
        assert self.wall is not None
        if not self.remote:
            return self.wall.looks
        return self.wall.room(None if self.wanted is None else self.wanted + self._others())

    def release(self) -> None:
        """Learning asks no more, and the end has come: what is left of the budget is there for measuring."""
        self.wanted = self.closing = 0

    def keep(self, batches: list[Tensor], rows: int, place: Tensor | None = None) -> None:
        """Answer once, in order, for `rows` training rows, where all answers fit into CACHE_BYTES and the budget.

        Args:
            batches: their inputs.
            rows: how many there are in all.
            place: (N,) where each row of the split stands among them; None where they are the split.
        """
        if self.wall and self.wall.budget and rows > self.wall.budget:
            return
        self.cache.fill(lambda x: self(x, local=True), batches, rows, place)

    def _plain(self, x: Tensor) -> Outputs:
        """Return the answer of a network of ours, neither counted nor worsened."""
        assert isinstance(self.ask, Net)
        outputs = granted(self.ask(x), self.access)
        return Outputs(outputs.logits.float(), outputs.features if self.features else ())

    def _packed(self, x: Tensor) -> tuple[Tensor, list[bytes]]:
        """Images as they are sent, values from 0 to 1, and the digest of the bytes of each."""
        assert self.wall is not None
        return packed(self.pixels(x), self.wall)

    def _buy(self, book: Ledger, sent: Tensor, rows: list[int], digests: list[bytes], local: bool) -> None:
        """Ask about some rows of `sent` until all are answered, and keep each part as soon as it comes."""
        while rows:
            asked = sent[torch.tensor(rows, device=sent.device)]
            if isinstance(self.ask, Net):
                answered = Answered(self.ask(self.inputs(asked)).logits.float())
            else:
                answered = self._insist(book, asked)
            self._keep(book, answered, asked, [digests[row] for row in rows], local)
            rows = rows[len(answered.logits) :]

    def _insist(self, book: Ledger, asked: Tensor) -> Answered:
        """Ask a line; what it sent in vain is written down before its error goes on."""
        assert not isinstance(self.ask, Net)
        if isinstance(self.ask, RemoteLine):
            self.ask.leaving = book.begin
        try:
            return self.ask(asked)
        except Unanswered as error:
            book.lose(error.spent)
            raise

    def _keep(self, book: Ledger, answered: Answered, asked: Tensor, digests: list[bytes], local: bool) -> None:
        """Write down the answer to the first of the questions `asked` (B, ...), as far as it is made of numbers."""
        assert self.wall is not None
        whole = answered.logits.isfinite().all(1)
        finite = whole.tolist()
        query = len(book) + finite.index(False) + 1 if not all(finite) else 0
        kept = [digest for digest, known in zip(digests, finite, strict=False) if known]
        if kept:
            self._write(book, answered._replace(logits=answered.logits[whole]), asked, kept, local)
        if query:
            each = traffic(self.wall, self.access, asked[0], answered.logits.shape[1])
            book.lose(answered.in_vain(len(finite) - len(kept), *each))
            raise BadInput(
                f"The teacher's answer to query {query} is {answered.strange or 'not a number'}; what was learned "
                "before it is kept."
            )

    def _write(self, book: Ledger, answered: Answered, asked: Tensor, digests: list[bytes], local: bool) -> None:
        assert self.wall is not None
        logits = granted(Outputs(answered.logits, ()), self.access).logits
        if self.access == "probabilities" and (self.wall.noise or self.wall.top or self.wall.digits):
            place = mix(self.seed, len(book), salt=40 if book is self.paid else 41)  # the same in a run that resumes
            logits = worsened(logits, self.wall, torch.Generator().manual_seed(place))
        up, down = traffic(self.wall, self.access, asked[0], logits.shape[1])
        book.add(digests, answered._replace(logits=logits), local, up, down)


def _first_of_each(digests: list[bytes]) -> list[int]:
    """Return the row of each different question, where it comes first."""
    first: dict[bytes, int] = {}
    for row, digest in enumerate(digests):
        first.setdefault(digest, row)
    return list(first.values())
