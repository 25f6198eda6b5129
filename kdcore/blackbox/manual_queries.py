"""Somebody else's teacher, asked beside its run by a person who looks: from the microscope, or in the Inspector.

What the run has asked is known here and not asked again. What is new is counted, priced and kept in a book of its own
beside the run's; of a remote teacher it is part of the run's budget, and while the run is not over it takes nothing of
what learning and the final test need. Who may send what is for those to say who ask.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from torch import Tensor

from kdcore.contracts.service import Answered, Line
from kdcore.engine.teacher import Spent, Teacher
from kdcore.engine.teacher_payload import packed
from kdcore.errors import BadInput
from kdcore.nn.pixels import Pixels
from kdcore.runs.ledger import BOOKS, BY_HAND, Ledger
from kdcore.runs.spare import RowCounts, Spare, spare
from kdcore.spec.registry import TEACHERS
from kdcore.spec.spec import Spec

LOCK = ".lock"  # beside the book, which several processes write


class ByHand:
    """The teacher of one run with a service.

    Args:
        spec, folder: the run's.
        shape: of a row.
        rows: how many classes and rows the run's data have.
        scale: of the data.
    """

    def __init__(self, spec: Spec, folder: Path, shape: tuple[int, ...], rows: RowCounts, scale: Pixels) -> None:
        assert spec.service
        assert spec.wall
        self.spec, self.folder, self.shape, self.rows, self.scale = spec, folder, shape, rows, scale
        self.classes = rows.classes
        self.service = TEACHERS[spec.service.name](**spec.service.knobs)
        self.remote = self.service.remote
        budget = spec.wall.budget if self.remote else 0
        self.wall = spec.wall.model_copy(update={"budget": budget})
        self._line: Line | None = None

    def missing(self, inputs: Tensor) -> int:
        """How many different questions among inputs (B, ...) would have to be sent."""
        books = self._books(BY_HAND, *BOOKS)
        return len({one for one in self._digests(inputs) if not any(one in book.places for book in books)})

    @property
    def spare(self) -> Spare | None:
        """What the run's budget leaves for it; None where nothing limits it."""
        return spare(self.spec, self.folder, self.rows)

    def answers(self, inputs: Tensor, real: bool) -> Tensor:
        """Answers (B, C) to inputs (B, ...); what is not known is sent. `real` says that they are no synthetic images.

        Raises:
            BadInput: the budget does not reach for it, so nothing was sent; or the teacher cannot be asked.
        """
        place = self.folder / BY_HAND.parent
        place.mkdir(parents=True, exist_ok=True)
        with (place / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # nobody else writes the book meanwhile
            self._check(inputs)
            try:
                return self._teacher(place)(inputs, real).logits
            except Spent:  # the run took the rest meanwhile
                raise BadInput("Nothing was sent: the run's budget does not reach for it any more.") from None

    def _check(self, inputs: Tensor) -> None:
        """Pass inputs (B, ...) whose answers are known, or for which enough is left.

        Raises:
            BadInput: there is not.
        """
        limit = self.spare
        if limit is None or (missing := self.missing(inputs)) <= limit.left:
            return
        images = f"{missing:,} more {'image' if missing == 1 else 'images'} would have to be sent"
        raise BadInput(f"Nothing was sent: {images}. {limit.says}")

    def _teacher(self, place: Path) -> Teacher:
        """The teacher with all books as they stand; its own lie at `place`."""
        return Teacher(
            self._asked, self.spec.access, wall=self.wall, folder=place, classes=self.classes, pixels=self.scale.sent,
            seed=self.spec.seed, remote=self.remote, before=self._books(*BOOKS),
        )  # fmt: skip

    def _books(self, *names: str | Path) -> list[Ledger]:
        return [Ledger(self.folder / name, self.classes, frozen=True) for name in names]

    def _digests(self, inputs: Tensor) -> list[bytes]:
        return packed(self.scale.sent(inputs), self.wall)[1]

    def _asked(self, images: Tensor) -> Answered:
        """Over the line, which is opened once there is something to ask."""
        if self._line is None:
            self._line = self.service.connect(self.shape, self.classes, self.spec.access)
        return self._line(images)
