"""What a teacher that is no run of ours must be. No torch is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from kdcore.contracts.access import Access
from kdcore.contracts.knobs import Knobs
from kdcore.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor


class Answered(NamedTuple):
    """What came over the wire for one call, which may be about the first images alone; the rest is asked again."""

    logits: Tensor  # (B', C) with 0 < B' <= B, the logarithms of probabilities, or one-hot rows
    requests: int = 1
    retried: int = 0  # images that were sent without a reply: each try that failed counts
    bytes_up: int | None = None  # None where nothing was really sent
    bytes_down: int | None = None
    strange: str = ""  # what the first row that is not finite was, where that is known

    def in_vain(self, bad: int, up: int, down: int) -> dict[str, int]:
        """Return what it took for the `bad` rows that are not finite, as `Unanswered.spent`; what the call took
        stands with the rows that are kept, where there are any. `up` and `down` are bytes a row, for what was not
        really sent.
        """
        none = bad == len(self.logits)
        return {
            "requests": self.requests * none,
            "retried": self.retried * none + bad,
            "bytes_up": bad * up if self.bytes_up is None else self.bytes_up * none,
            "bytes_down": bad * down if self.bytes_down is None else self.bytes_down * none,
        }


class Unanswered(BadInput):
    """A call that was sent and never answered; what was sent counts all the same."""

    def __init__(self, said: str, images: int, requests: int, bytes_up: int, bytes_down: int) -> None:
        super().__init__(said)
        self.spent = {"requests": requests, "retried": images, "bytes_up": bytes_up, "bytes_down": bytes_down}


Line = Callable[["Tensor"], Answered]  # from images (B, K, H, W) with values from 0 to 1


class RemoteLine:
    """A line over which images leave this machine.

    Before each request it tells `leaving` what its call has taken once that has left, in the words of
    `Unanswered.spent`: a process that is killed meanwhile leaves it told.
    """

    def __init__(self) -> None:
        self.leaving: Callable[[Mapping[str, int]], None] = lambda _: None

    def __call__(self, images: Tensor) -> Answered:
        """As `Line`."""
        raise NotImplementedError


class Service(Knobs):
    """A teacher that is no run of ours: it answers images and shows nothing else.

    What the form says of it follows from here: a knob's `Field` may give it a title beside its description.
    """

    says: ClassVar[str] = ""  # what one should know before choosing it, in a sentence or two
    upload: ClassVar[str] = (
        ""  # the ending of the file that its knob `file` names, such as "onnx"; "" where it has none
    )
    required: ClassVar[dict[str, str]] = {}  # knobs that must be filled in -> what is missing, and what to do

    remote: ClassVar[bool] = False  # whether images leave this machine to be answered

    def connect(self, shape: tuple[int, ...], classes: int, access: Access = "labels") -> Line:
        """Return the line over which it is asked about images of `shape`, for what `access` grants.

        Raises:
            BadInput: it cannot be reached or used, tells less, or knows other images or classes. Its line raises it
                too.
        """
        raise NotImplementedError

    def classes(self) -> tuple[str, ...]:
        """Return the names of its classes in the order of its answers; () where it does not say them."""
        return ()

    def made_for(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the shape of images that it was made for, where it says so; data of `shape` are at hand.

        Raises:
            BadInput: its file cannot be used.
        """
        return None
