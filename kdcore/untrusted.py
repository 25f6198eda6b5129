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

from kdcore.errors import BadInput, gist

MAX_DEPTH = 64  # lists and mappings inside one another; a spec has about ten
MAX_BYTES = 16 << 20  # of one document: the record of 10,000 loss points has 5 MB, and to read it takes 30 times that
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
    """The UTF-8 text of a file or stream, which may be a device that never ends.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8, or longer than `most_bytes`.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes >> 20} MB")
    return content.decode()


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
