"""The two models of a case and its rows, ready to be asked: nothing learns."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kdcore.blackbox.loaded_run import weights_of
from kdcore.blackbox.manual_queries import ByHand
from kdcore.comparison.question import ALLOW, OTHERS, Party, Question, asked
from kdcore.comparison.uploaded_images import kept
from kdcore.contracts.data import Data, Dataset, Split, silent
from kdcore.contracts.net import CHUNK, Net, pooled
from kdcore.contracts.service import Line
from kdcore.engine.build import dataset, device_for, network
from kdcore.engine.checkpoint import head_of
from kdcore.errors import BadInput, upshot
from kdcore.nn.pixels import Pixels
from kdcore.runs.record import written_ns
from kdcore.runs.spare import RowCounts
from kdcore.single_entry_cache import SingleEntryCache
from kdcore.spec.catalogue import home
from kdcore.spec.registry import DATA, TEACHERS
from kdcore.spec.spec import Choice, Spec, parse

SCALES = {  # mean and deviation of pixels from 0 to 1 that give the scales of uploaded weights; others say their own
    "unit": ((0.0,), (1.0,)),
    "signed": ((0.5,), (0.5,)),
    "bytes": ((0.0,), (1 / 255,)),
}
PART = 2048  # rows that are looked for in the books at a time
UNASKED = "{title} is remote and was not queried: {missing:,} of these {rows:,} rows would have to be sent to it; {why}"
OVERDRAWN = "{title} was not queried: {missing:,} of these {rows:,} rows would have to be sent to it. {why}"


class ComparedModel:
    """One side of a case.

    Args:
        party: who it is.
        data, choice: the data set of the case, and what names it.
        device: where it is asked.
        sends: whether a remote one may be sent rows, and images made of them.
        owned: whether who asks may have its run's remote teacher sent anything.

    Raises:
        BadInput: it cannot be read, or knows other rows or classes.
    """

    def __init__(
        self,
        party: Party,
        data: Dataset,
        choice: Choice,
        device: torch.device,
        sends: bool = False,
        owned: bool = False,
    ) -> None:
        self.sends, self.owned = sends, owned
        self.party, self.title, self.device, self.data, self.whole = party, party.title, device, choice, data
        self.rows, self.classes = tuple(data.train.x.shape[1:]), data.classes  # of the case
        self.shape = self.rows  # of one row as this model reads it
        self.mean, self.std = data.mean, data.std
        self.order: list[int] | None = None  # where its classes stand in another order: ours as places of its
        self.notes: list[str] = []
        self.net: Net | None = None  # where its inside can be looked at
        self._line: Line | None = None
        self.by_hand: ByHand | None = None  # a teacher behind the wall of its run
        if party.service:
            self._connect(party.service)
        else:
            self._load()

    def _connect(self, service: Choice) -> None:
        """Somebody else's model: an uploaded file, or a server."""
        theirs = TEACHERS[service.name](**service.knobs)
        try:
            self._fit(theirs.made_for(self.rows))
            if named := theirs.classes():
                self._match(named)
            if theirs.remote and self.party.spec:
                self._beside_its_run(parse(self.party.spec))
                return
            self._line = theirs.connect(self.shape, len(self.classes), "probabilities")
        except BadInput as error:
            raise BadInput(str(error).replace("The teacher", self.title, 1)) from error
        inside = getattr(self._line, "net", None)
        if isinstance(inside, Net):
            self.net, reader = inside.to(self.device), getattr(self._line, "reader")  # noqa: B009  of such lines
            self.mean, self.std = SCALES.get(reader.scale, (reader.mean, reader.std))

    def _beside_its_run(self, spec: Spec) -> None:
        """A service that teaches a run: what that has asked is known, and what is asked here is counted there."""
        assert self.party.folder
        own = self.whole if spec.data == self.data else dataset(spec.data, home() / "data", silent)
        rows = RowCounts(len(self.classes), len(own.train.x), len(own.test.x))
        scale = Pixels(self.mean, self.std)
        self.by_hand = ByHand(spec, Path(self.party.folder), self.shape, rows, scale)

    def _load(self) -> None:
        """The network of a run, with the newest weights."""
        assert self.party.folder
        assert self.party.spec
        spec, folder = parse(self.party.spec), Path(self.party.folder)
        self._compare(spec.data, (folder / "student.safetensors").exists())
        self._fit(_made(spec.data).signature()[0])
        self._read_head(folder / "student.safetensors")
        net = network(spec, self.shape, len(self.classes))
        weights = weights_of(folder)
        try:
            net.load_state_dict(weights.student)
        except RuntimeError as error:
            raise BadInput(
                f"{self.title} reads other images or knows other classes than these data ({upshot(error)}); choose "
                "data of its kind."
            ) from error
        if weights.step is not None:
            self.notes.append(f"{self.title} is shown as of step {weights.step:,}, from before its end.")
        self.net = net.to(self.device).eval().requires_grad_(False)

    def _compare(self, theirs: Choice, finished: bool) -> None:
        """What a person should know where a run learned from other data than the case's.

        Raises:
            BadInput: they are other data, and only a finished run says what its classes are.
        """
        if theirs.name != self.data.name:
            if not finished:
                raise BadInput(
                    f"{self.title} learns from {theirs.name!r}, not from {self.data.name!r}, and says what its classes "
                    "are once it has finished; look again then, or choose its own data."
                )
            self.notes.append(f"{self.title} learned from {theirs.name!r}, not from {self.data.name!r}.")
        kept_apart = [(one.seed, one.validation) for one in (_made(theirs), _made(self.data))]
        if theirs.name == self.data.name and kept_apart[0] != kept_apart[1]:
            self.notes.append(f"{self.title} held out other rows, so it may have learned from some of these.")

    def _fit(self, wanted: tuple[int, ...] | None) -> None:
        """Rows are to be resized where the model was made for images of another size.

        Raises:
            BadInput: one of both is no image.
        """
        if wanted is None or wanted == self.rows:
            return
        theirs, ours = ("x".join(map(str, sizes)) for sizes in (wanted, self.rows))
        if len(wanted) != 3 or len(self.rows) != 3 or wanted[0] not in (1, 3):
            raise BadInput(f"{self.title} was made for inputs of {theirs}, but the data are {ours}; choose such data.")
        self.shape = wanted
        self.notes.append(f"{self.title} was made for images of {theirs}, so the rows of {ours} were resized for it.")

    def _read_head(self, path: Path) -> None:
        """How a finished run reads pixels, and what its classes are called."""
        if not path.exists():
            return
        said = head_of(path)
        self.mean, self.std = tuple(said.get("mean", self.mean)), tuple(said.get("std", self.std))
        self._match(tuple(said.get("classes", self.classes)))

    def _match(self, theirs: tuple[str, ...]) -> None:
        if theirs == self.classes:
            return
        if len(theirs) != len(self.classes):
            raise BadInput(
                f"{self.title} knows {len(theirs)} classes, but these data have {len(self.classes)}; choose data with "
                "the same classes."
            )
        if set(theirs) != set(self.classes):
            ours, other = next(pair for pair in zip(self.classes, theirs, strict=True) if pair[0] != pair[1])
            raise BadInput(
                f"{self.title} knows other classes than these data, such as {other!r} where they have {ours!r}; choose "
                "data with the same classes."
            )
        self.order = [theirs.index(name) for name in self.classes]
        self.notes.append(f"{self.title} has the classes in another order; its answers were put into that of the data.")

    # Asking

    def inputs(self, x: Tensor) -> Tensor:
        """Raw rows (B, K, H, W) of values 0..255, or (B, F), as the network reads them; keeps gradients."""
        x = self._sized(x.to(self.device, torch.float32))
        if x.ndim != 4 or not self.mean:
            return x
        mean, std = (torch.tensor(values, device=self.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (x / 255 - mean) / std

    def _sized(self, x: Tensor) -> Tensor:
        """Rows (B, ...) float32 in the shape that the model was made for; keeps gradients."""
        if self.shape == self.rows:
            return x
        if self.shape[0] != self.rows[0]:
            x = x.expand(-1, 3, -1, -1) if self.shape[0] == 3 else x.mean(1, keepdim=True)
        resized: Tensor = interpolate(x, self.shape[1:], mode="bilinear", antialias=True)
        return resized

    def logits(self, x: Tensor) -> Tensor:
        """Answers (N, C) float32 on the CPU to raw rows (N, ...), in chunks; no gradients."""
        with torch.no_grad():
            return torch.cat([self._asked(part).float().cpu() for part in torch.split(x, CHUNK)])

    def _asked(self, x: Tensor) -> Tensor:
        if self.net is not None and self._line is None:
            return self.through(x).logits  # type: ignore[no-any-return]
        x = self._sized(x.float())
        told = self._told(x).cpu()
        return told if self.order is None else told[:, self.order]

    def _told(self, x: Tensor) -> Tensor:
        """What a service answers to rows of its size."""
        if self.by_hand is None:
            assert self._line is not None
            return self._line(x / 255 if x.ndim == 4 else x).logits
        inputs = self.by_hand.scale.normalised(x)
        if not self.allowed and (missing := self.by_hand.missing(inputs)):
            raise BadInput(f"{self.title} is remote, and this would send it {missing:,} images; {self._why}")
        return self.by_hand.answers(inputs, real=True)

    def refusal(self, x: Tensor) -> str:
        """Why a remote teacher is not asked about the raw rows x (N, ...), which would be sent to it; "" where it may.

        They are counted before the first is sent: those of a part that still fits would be paid for in vain.
        """
        limit = self.by_hand.spare if self.by_hand else None
        if self.by_hand is None or (self.allowed and limit is None):
            return ""
        parts = (self.by_hand.scale.normalised(self._sized(part.float())) for part in torch.split(x, PART))
        missing = sum(map(self.by_hand.missing, parts))
        told = {"title": self.title, "missing": missing, "rows": len(x)}
        if missing and not self.owned:
            return UNASKED.format(**told, why=self._why)
        if limit is not None and missing > limit.left:
            return OVERDRAWN.format(**told, why=limit.says)
        return UNASKED.format(**told, why=self._why) if missing and not self.allowed else ""

    @property
    def _why(self) -> str:
        """Why nothing may be sent."""
        return ALLOW if self.owned else OTHERS

    @property
    def allowed(self) -> bool:
        """Whether it may be asked about anything: it is on this machine, or its run or this case allows it to who
        owns the run."""
        wall = self.by_hand.wall if self.by_hand and self.by_hand.remote else None
        return wall is None or (self.owned and (wall.measure == "real" or self.sends))

    def through(self, x: Tensor) -> Any:
        """`Outputs` of raw rows (B, ...), with gradients to `x` where it asks for them; its inside must be known.

        Raises:
            BadInput: the model only answers.
        """
        if self.net is None:
            raise BadInput(f"{self.title} is a black box; its features and gradients are not available.")
        found = self.net(self.inputs(x))
        return found if self.order is None else found._replace(logits=found.logits[:, self.order])

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(N, K) float32 on the CPU: the last stage's feature of raw rows, pooled.

        Raises:
            BadInput: the model only answers.
        """
        found = [pooled(self.through(part).features[-1].float()).cpu() for part in torch.split(x, CHUNK)]
        return torch.cat(found)


def _made(choice: Choice) -> Data:
    return DATA[choice.name](**choice.knobs)


class ComparedPair:
    """The two models of a case and its rows.

    Args:
        question: the case's.
        owned: whether who asks may have a run's remote teacher sent anything.

    Raises:
        BadInput: data or models cannot be read.
    """

    def __init__(self, question: Question, device: str = "auto", owned: bool = False) -> None:
        self.owned = owned
        self.question, self.folder, self.device = question, question.folder, device_for(device)
        self.data = dataset(question.data, home() / "data", silent)
        self.classes, self.shape = self.data.classes, tuple(self.data.train.x.shape[1:])
        self.student = self._model("student", question.student)
        self.notes: list[str] = []
        self.teacher = self._model("teacher", question.teacher) if question.teacher else None
        if self.teacher and (refusal := self.teacher.refusal(self.x)):
            self.notes.append(refusal)
            self.teacher = None

    def _model(self, side: str, party: Party) -> ComparedModel:
        try:
            return ComparedModel(party, self.data, self.question.data, self.device, self.question.sends, self.owned)
        except BadInput as error:
            raise BadInput(f"The {side}: {error}") from error

    @cached_property
    def split(self) -> Split:
        """The split that is looked at, or the images that were brought, which have no labels."""
        if self.question.given:
            x = kept(self.question.given)
            return Split(x, np.full(len(x), -1))
        return getattr(self.data, self.question.where)  # type: ignore[no-any-return]

    @cached_property
    def x(self) -> Tensor:
        """The case's rows (N, ...), raw: bytes 0..255, or features as they are."""
        return torch.from_numpy(self.split.x[: self.question.rows])

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        return self.split.y[: self.question.rows]

    @cached_property
    def train_x(self) -> Tensor:
        """All training rows, raw."""
        return torch.from_numpy(self.data.train.x)

    def row(self, row: int) -> Tensor:
        """One of the case's rows (1, ...), raw.

        Raises:
            BadInput: there is none of that number.
        """
        if not 0 <= row < len(self.x):
            raise BadInput(f"Rows are numbered 0 to {len(self.x) - 1}, but got {row}; choose one of them.")
        return self.x[row : row + 1]

    @property
    def models(self) -> list[ComparedModel]:
        """Student, and teacher where there is one."""
        return [self.student, *([self.teacher] if self.teacher else [])]


def pair_of(folder: Path, owned: bool = False) -> ComparedPair:
    """The models of a case, set up anew where another was looked at before, or by somebody who may send less or more.

    Args:
        folder: the case's.
        owned: whether who asks may have a run's remote teacher sent anything.
    """
    key = folder, written_ns(folder / "question.json"), owned
    return PAIRS.get(key, lambda: ComparedPair(asked(folder), owned=owned))


PAIRS: SingleEntryCache[ComparedPair] = SingleEntryCache()
