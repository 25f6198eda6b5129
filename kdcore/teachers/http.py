"""A remote teacher that speaks the Open Inference Protocol: Triton, KServe, MLServer, or a run put up by `kdlab serve`.

Requests hold at most `batch` images and answers are kept request by request. A request whose answer is lost, late,
garbled or refused for the moment is sent again after a wait that doubles, or as long as the server asks for. Only
hosts in KDLAB_HOSTS are called, which without it is this machine alone.

Source: the protocol's version 2 over REST,
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, and Triton's binary tensor data
extension.

Departs from it: one input and one output are used: the first, unless that holds one number an image and another a row
of them. Class numbers, integers (B,) or (B, 1), are labels, and then the teacher returns no more. A batch size that the
model fixes must be 1. Waits have no jitter, so that two runs of a spec ask alike.

Zero when: never; a teacher has no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic, sleep
from typing import Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import quote

import numpy as np
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.contracts.service import Answered, Line, RemoteLine, Unanswered
from kdcore.errors import BadInput, gist, shortened
from kdcore.remote.http_client import Address, Lost, Reply, Wire, address
from kdcore.remote.protocol import DTYPES, HEAD_LENGTH, MOST_AXES, MOST_SIZE, Garbled, pack, read_json, unpack
from kdcore.teachers._labels import Told, are_numbers, check_grade, telling
from kdcore.teachers._pixels import Reader, as_tensor, check_classes, check_shape
from kdcore.teachers._trial import row_for
from kdcore.untrusted import parsing, turning

T = TypeVar("T")
BACKOFF_S = 0.25  # before the second try; then twice as long each time
LONGEST_BACKOFF_S = 30.0
LONGEST_WAIT_S = 600.0  # that a server may ask for
FOR_NOW = (408, 425, 429, 500, 502, 503, 504)  # refusals that may pass
READS = ("FP32", "FP16", "FP64", "UINT8")
BINARY = "binary_tensor_data"  # the extension's name
MOST_FACTS = 1 << 20  # bytes of what a server says of itself, which as Python objects takes thirty times that
UNNAMED = "input-0"  # as servers call an input that their metadata leave out


class HttpTeacher(Reader):
    """A model behind a server of the Open Inference Protocol."""

    title: ClassVar[str] = "Remote server"
    remote: ClassVar[bool] = True
    says: ClassVar[str] = (
        "A model behind a server that speaks the Open Inference Protocol, such as Triton, KServe or MLServer. If it "
        "answers with class numbers, it tells labels alone. Only this machine and the hosts in KDLAB_HOSTS are called."
    )
    required: ClassVar[dict[str, str]] = {
        "url": "the server's address: fill it in",
        "model": "the model's name on that server: fill it in",
    }
    url: str = Field(
        "http://localhost:8500", title="Address", description="Where the server is, without the /v2 of the protocol."
    )
    model: str = Field("", description="The model's name there.")
    version: str = Field("", description="The model's version; empty leaves it to the server.")
    binary: bool = Field(
        True, title="Tensors as bytes", description="Whether tensors are sent as bytes, where the server can read them."
    )
    batch: int = Field(64, title="Images in a request, at most", ge=1, le=4096, description="Most images in a request.")
    timeout_s: float = Field(
        30.0, title="Seconds for an answer, at most", ge=0.05, le=3600.0, description="Most seconds for one answer."
    )
    retries: int = Field(
        5,
        title="Tries after the first",
        ge=0,
        le=15,
        description="How often a request is sent again before the run stops.",
    )
    rate_per_s: float = Field(
        0.0, title="Requests a second, at most", ge=0.0, le=1e6, description="Most requests a second; 0 sets no limit."
    )

    def connect(self, shape: tuple[int, ...], classes: int, access: Access = "labels") -> Line:
        """The line to the server, once it says that it is ready and what its model reads and answers.

        Raises:
            BadInput: also where its host may not be called.
        """
        self.check_scale(shape)
        if not self.model:
            raise BadInput("The remote teacher's model has no name; set it to the model's name on the server.")
        calls = _Calls(self, address(self.url))
        calls.insist("GET", "/v2/health/ready", lambda reply: reply.status)
        version = f"/versions/{quote(self.version, safe='')}" if self.version else ""
        path = f"/v2/models/{quote(self.model, safe='')}{version}"
        facts = calls.insist("GET", path, lambda reply: read_json(reply.body, MOST_FACTS)).found
        with parsing(f"What the teacher at {calls.place} says of its model cannot be read", "check address and model"):
            terms = _terms(facts, self, classes)
        flat = row_for(terms.reads[1:], shape) not in (None, shape)
        if not flat:
            check_shape(terms.reads[1:] or shape, shape)
        if terms.labels:
            check_grade(access)
        if len(terms.answers) == 2 and terms.answers[1]:
            check_classes(terms.answers[1], classes)
        binary = self.binary and BINARY in calls.insist("GET", "/v2", _extensions).found
        return _Remote(self.model_copy(update={"binary": binary}), calls, path, terms, classes, access, flat)


class _Terms(NamedTuple):
    """What the server's metadata say of the model."""

    name: str  # of its input
    dtype: np.dtype[Any]
    reads: tuple[int | None, ...]  # () where they do not say
    answers: tuple[int | None, ...]  # likewise, and of class numbers
    output: str  # "" where they do not say
    labels: bool  # whether they say that it tells no more
    most: int  # images in a request


class _Insisted(NamedTuple):
    """What came of a request in the end."""

    found: Any
    tries: int


class _Remote(RemoteLine):
    """The line: each call asks about one request's images and leaves the rest."""

    def __init__(
        self, reader: HttpTeacher, calls: _Calls, path: str, terms: _Terms, classes: int, access: Access, flat: bool
    ) -> None:
        super().__init__()
        self.reader, self.calls, self.path, self.terms = reader, calls, path, terms
        self.classes, self.access, self.flat = classes, access, flat

    def __call__(self, images: Tensor) -> Answered:
        x = self.reader.fed(images[: self.terms.most])
        x = x.reshape(len(x), -1) if self.flat else x
        x = (x.round() if self.terms.dtype == np.uint8 else x).astype(self.terms.dtype)
        body, headers = pack("inputs", {self.terms.name: x}, self._wish(), self.reader.binary)
        wire, before = self.calls.wire, self.calls.sent
        up, down = wire.up, wire.down

        def leaving() -> None:
            requests = self.calls.sent - before
            sizes = {"bytes_up": wire.up - up + len(body), "bytes_down": wire.down - down}
            self.leaving({"requests": requests, "retried": requests * len(x)} | sizes)

        try:
            told, tries = self.calls.insist(
                "POST", f"{self.path}/infer", lambda reply: self._read(reply, len(x)), headers, body, leaving
            )
        except BadInput as error:
            requests = self.calls.sent - before
            raise Unanswered(str(error), requests * len(x), requests, wire.up - up, wire.down - down) from error
        sent = (wire.up - up, wire.down - down)
        return Answered(as_tensor(told.logits), tries, (tries - 1) * len(x), *sent, told.strange)

    def _wish(self) -> dict[str, Any]:
        """What is asked for besides the inputs."""
        output = [{"name": self.terms.output}] if self.terms.output else []
        parameters = {"binary_data_output": True} if self.reader.binary else {}
        return {key: value for key, value in (("outputs", output), ("parameters", parameters)) if value}

    def _read(self, reply: Reply, count: int) -> Told:
        """Answers to `count` images."""
        tensors = unpack("outputs", reply.body, reply.headers.get(HEAD_LENGTH.lower())).tensors
        answers = tensors.get(self.terms.output) if self.terms.output else self._telling(list(tensors.values()))
        if answers is None or not answers.ndim or len(answers) != count:
            shape = None if answers is None else answers.shape
            raise Garbled(f"the answer to {count} images has shape {shortened(shape)}")
        return self.reader.read(answers, self.classes, self.access)

    def _telling(self, tensors: list[np.ndarray]) -> np.ndarray | None:
        """The one that counts of what came unnamed."""
        return tensors[telling([(one.dtype.kind, one.shape) for one in tensors], self.classes)] if tensors else None


class _Calls:
    """Requests that are sent again until they are answered."""

    def __init__(self, reader: HttpTeacher, place: Address) -> None:
        self.reader, self.place = reader, place
        self.wire = Wire(place, reader.timeout_s)
        self.next_at = 0.0  # when the rate allows the next request
        self.sent = 0  # requests

    def insist(
        self,
        method: str,
        path: str,
        read: Callable[[Reply], T],
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        leaving: Callable[[], None] = lambda: None,
    ) -> _Insisted:
        """Send a request until its answer can be read; `leaving` is called before each time.

        Raises:
            BadInput: it is refused for good, or was sent as often as allowed.
        """
        reason = ""
        for tries in range(1, self.reader.retries + 2):
            self._pace()
            self.sent += 1
            leaving()
            try:
                reply = self.wire.exchange(method, path, headers or {}, body)
                if reply.status == 200:
                    return _Insisted(_made_of(reply, read), tries)
                asked_s = self._refused(reply)
                reason = f"it answers with status {reply.status}{_said(reply)}"
            except (Lost, Garbled) as error:
                asked_s, reason = 0.0, str(error)
            if tries <= self.reader.retries:
                sleep(max(asked_s, min(BACKOFF_S * 2 ** (tries - 1), LONGEST_BACKOFF_S)))
        self.wire.close()
        raise BadInput(
            f"The teacher at {self.place} was asked {tries} times without success, as {reason}; what it answered "
            "before is kept, so resume the run once it answers again."
        )

    def _pace(self) -> None:
        """Wait until the rate allows a request."""
        if not self.reader.rate_per_s:
            return
        now = monotonic()
        if self.next_at > now:
            sleep(self.next_at - now)
        self.next_at = max(now, self.next_at) + 1 / self.reader.rate_per_s

    def _refused(self, reply: Reply) -> float:
        """Seconds that the server asks to wait.

        Raises:
            BadInput: waiting does not help, or it asks for too long.
        """
        if reply.status not in FOR_NOW:
            why = "redirects are not followed" if 300 <= reply.status < 400 else "that will not pass"
            raise BadInput(
                f"The teacher at {self.place} answers with status {reply.status}{_said(reply)}, and {why}; check its "
                "address, model and version."
            )
        wait_s = _retry_after(reply.headers.get("retry-after", ""))
        if wait_s > LONGEST_WAIT_S:
            raise BadInput(
                f"The teacher at {self.place} asks to wait for {wait_s:.0f} s; what it answered before is kept, so "
                "resume the run then."
            )
        return wait_s


def _made_of(reply: Reply, read: Callable[[Reply], T]) -> T:
    """What `read` finds in an answer.

    Raises:
        BadInput: it is refused for good.
        Garbled: it cannot be read.
    """
    with turning(lambda error: Garbled(f"its answer cannot be read ({gist(error)})"), BadInput, Garbled):
        return read(reply)


def _extensions(reply: Reply) -> list[Any]:
    """What a server can do beyond the protocol."""
    found = read_json(reply.body, MOST_FACTS).get("extensions")
    return found if isinstance(found, list) else []


def _retry_after(text: str) -> float:
    """Seconds to wait, from a number of them or a date; 0 where it says neither."""
    if text.strip().isdecimal():
        return float(text.strip()[:9])
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return 0.0


def _said(reply: Reply) -> str:
    """A server's own words on an error."""
    try:
        said = str(read_json(reply.body, MOST_FACTS).get("error", ""))
    except Garbled:
        return ""
    words = " ".join("".join(char if char.isprintable() else " " for char in said[:200]).split())
    return f" ({words.rstrip('.')})" if words else ""


def _terms(facts: Mapping[str, Any], reader: HttpTeacher, classes: int) -> _Terms:
    """A model's metadata as far as they are used.

    Raises:
        BadInput: the model reads or answers something else than these knobs say.
    """
    inputs, outputs = (_entries(facts, side) for side in ("inputs", "outputs"))
    if len(inputs) > 1:
        names = ", ".join(str(one.get("name")) for one in inputs)[:120]
        raise BadInput(f"The teacher must read one input, images, but {reader.model!r} has {len(inputs)}: {names}.")
    entry = inputs[0] if inputs else {}
    output = outputs[telling([_told(one) for one in outputs], classes)] if outputs else {}
    numbers = are_numbers(*_told(output), classes)
    datatype = str(entry.get("datatype", "FP32"))
    if datatype not in READS:
        raise BadInput(f"The teacher {reader.model!r} reads {datatype[:20]}, but images are {', '.join(READS)}.")
    if datatype == "UINT8" and reader.scale != "bytes":
        raise BadInput(f"The teacher reads bytes, but its scale is {reader.scale!r}; set the scale to 'bytes'.")
    labels = _check_answers(output, reader) or numbers
    reads = _sizes(entry)
    if reads and reads[0] not in (None, 1):
        raise BadInput(f"The teacher reads {reads[0]} images at once and no fewer; offer it with any number, or one.")
    most = 1 if reads and reads[0] == 1 else reader.batch
    name = str(entry.get("name") or UNNAMED)
    answers = () if numbers else _sizes(output)
    return _Terms(name, np.dtype(DTYPES[datatype]), reads, answers, str(output.get("name") or ""), labels, most)


def _check_answers(output: Mapping[str, Any], reader: HttpTeacher) -> bool:
    """Servers of ours tell what their answers are; whether labels alone.

    Raises:
        BadInput: they are read as something else.
    """
    parameters = output.get("parameters")
    told = parameters.get("answers") if isinstance(parameters, dict) else None
    if told in ("logits", "probabilities", "labels"):
        wanted = "logits" if told == "logits" else "probabilities"
        if reader.answers != wanted and (reader.answers, wanted) != ("raw", "logits"):
            raise BadInput(
                f"The teacher answers with {told}, but is read as {reader.answers}; set 'Answers' (Connection and "
                f"input settings) to {wanted!r}."
            )
    return told == "labels"


def _told(output: Mapping[str, Any]) -> tuple[str, tuple[int | None, ...]]:
    """A tensor's kind as NumPy has it, "" where it is not known, and its shape."""
    datatype = output.get("datatype")
    if datatype is None:
        return "", _sizes(output)
    datatype = str(datatype)
    return np.dtype(DTYPES[datatype]).kind if datatype in DTYPES else "O", _sizes(output)


def _entries(facts: Mapping[str, Any], side: str) -> list[dict[str, Any]]:
    found = facts.get(side)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _sizes(entry: Mapping[str, Any]) -> tuple[int | None, ...]:
    """A tensor's shape; None where any size will do.

    Raises:
        Garbled: no tensor has so many axes, or so long a one.
    """
    shape = entry.get("shape")
    if not isinstance(shape, list):
        return ()
    if len(shape) > MOST_AXES or any(isinstance(size, int) and size > MOST_SIZE for size in shape):
        raise Garbled(f"a tensor has more than {MOST_AXES} axes, or one longer than 2^63 - 1")
    return tuple(size if isinstance(size, int) and size > 0 else None for size in shape)
