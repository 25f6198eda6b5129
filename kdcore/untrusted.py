"""Text and files that others wrote: parsed within bounds, and whatever a parser raises becomes one sentence.

Parsers raise more than they document (RecursionError, UnicodeDecodeError, struct.error, LZMAError, MemoryError ...), so
the kind is caught here, and only around the parser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

from kdcore.errors import BadInput, gist

MAX_DEPTH = 64  # lists and mappings inside one another; a spec has about ten
MAX_BYTES = 16 << 20  # of one document: the record of 10,000 loss points has 5 MB, and to read it takes 30 times that
ENTRY_BYTES = 256  # what a zip's directory takes for one file: 46, its name, and what further fields tell of it
TAIL_BYTES = 66_000  # what stands behind a zip's directory: how long that is, and a comment of 64 KB
MAX_HEAD_BYTES = 8 << 20  # of a file of weights: 100 bytes a tensor, and networks have a few thousand
MAX_VALUES = 1_000_000  # of one document, each alias of YAML counted as often as it stands there


@contextmanager
def parsing(problem: str, remedy: str) -> Iterator[None]:
    """Raise `BadInput` "problem (cause); remedy." for whatever a parser raises.

    Raises:
        BadInput: the block raised an exception; one that is a `BadInput` already passes as it is.
    """
    with turning(lambda error: BadInput(f"{problem} ({gist(error)}); {remedy}."), BadInput):
        yield


@contextmanager
def turning(into: Callable[[Exception], Exception], *passing: type[Exception]) -> Iterator[None]:
    """Raise what `into` makes of whatever the block raises; errors of the kinds `passing` stay as they are."""
    try:
        yield
    except passing:
        raise
    except Exception as error:
        raise into(error) from error


def read_text(source: Path | IO[bytes], most_bytes: int = MAX_BYTES) -> str:
    """Return the UTF-8 text of a file or stream, which may be a device that never ends.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8, or longer than `most_bytes`.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes >> 20} MB")
    return content.decode()


@contextmanager
def unzipping(source: Path | IO[bytes], most: int) -> Iterator[ZipFile]:
    """Open a zip of at most `most` files; nothing is made of its directory where that is longer than theirs can be.

    A directory deflates 1000:1 inside of another zip, and each file that it lists takes 700 bytes of memory.

    Raises:
        ValueError: it lists more files.
        OSError, BadZipFile: it is no zip, or cannot be read.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as stream:
        bounded = _Bounded(stream, most * ENTRY_BYTES + TAIL_BYTES)
        with ZipFile(bounded) as archive:
            bounded.room = None
            if (count := len(archive.infolist())) > most:
                raise ValueError(f"it lists {count:,} files, and at most {most:,} are read")
            yield archive


class _Bounded:
    """A stream of which no more than `room` bytes are read until that is None.

    zipfile believes what it reads and not what the end of the file says, so it is its own reads that are counted.
    """

    def __init__(self, stream: IO[bytes], room: int) -> None:
        self.room: int | None = room
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all of them when negative.

        Raises:
            ValueError: that is more than there is room for.
        """
        if self.room is None:
            return self._stream.read(size)
        content = self._stream.read(min(size, self.room + 1) if size >= 0 else self.room + 1)
        self.room -= len(content)
        if self.room < 0:
            raise ValueError("it lists more files than are read")
        return content


def check_head(path: Path) -> None:
    """Pass a safetensors file whose head is as long as one of weights may be.

    Raises:
        OSError: it cannot be read.
        ValueError: it is longer.
    """
    with path.open("rb") as stored:
        size_bytes = int.from_bytes(stored.read(8), "little")
    if size_bytes > MAX_HEAD_BYTES:
        raise ValueError(f"its head has {size_bytes / 2**20:,.0f} MB, and at most {MAX_HEAD_BYTES >> 20} are read")


def read_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_size(value)
    return value


def read_yaml(text: str) -> Any:
    """Parse YAML without constructing Python objects.

    Raises:
        ValueError: it is not YAML, nested too deep, or its aliases expand beyond `MAX_VALUES`.
    """
    import yaml  # here, as what trains does without it

    with turning(_not_yaml):
        value = yaml.safe_load(text)
    _check_size(value)
    return value


def _not_yaml(error: Exception) -> ValueError:
    """Its constructors raise AttributeError, KeyError and more, as at `!!timestamp q`."""
    return ValueError(_too_deep() if isinstance(error, RecursionError) else gist(error))


def _check_size(value: Any) -> None:
    """Walk a document without recursion.

    Raises:
        ValueError: it is nested too deep or has too many values.
    """
    level, room = [value], MAX_VALUES
    for _ in range(MAX_DEPTH):
        level = list(islice(_inner(level), room + 1))
        room -= len(level)
        if room < 0:
            raise ValueError(f"it has more than {MAX_VALUES:,} values")
        if not level:
            return
    raise ValueError(_too_deep())


def _inner(level: Iterable[Any]) -> Iterator[Any]:
    for value in level:
        if isinstance(value, (dict, list)):
            yield from value.values() if isinstance(value, dict) else value


def _too_deep() -> str:
    return f"it is nested more than {MAX_DEPTH} levels deep"
