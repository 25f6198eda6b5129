"""Messages of the Open Inference Protocol, version 2 over REST: JSON, and tensors as JSON or as bytes behind it.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and, for bytes, Triton's
binary tensor data extension. No torch is imported here: whoever asks and whoever answers read the same lines.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from kdcore.errors import gist

DTYPES = {  # little-endian, as the extension has it
    "FP32": "<f4",
    "FP64": "<f8",
    "FP16": "<f2",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
}
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
HEAD_LENGTH = "Inference-Header-Content-Length"
MOST_JSON = 32 << 20  # bytes of JSON in a message; tensors may go beside it in binary
MOST_AXES = 64  # numpy has no more
MOST_SIZE = 2**63 - 1  # of one axis, and of all together: what numpy counts in
Side = Literal["inputs", "outputs"]


class Garbled(ValueError):
    """A message is not what the protocol says; the sentence tells where."""


class Message(NamedTuple):
    """A message that was read."""

    said: dict[str, Any]  # its JSON
    tensors: dict[str, np.ndarray]  # by name, in order


def pack(
    side: Side, tensors: Mapping[str, np.ndarray], said: Mapping[str, Any], binary: bool
) -> tuple[bytes, dict[str, str]]:
    """Return a message's body and headers; with `binary` the tensors follow the JSON as bytes."""
    told, tail = [], []
    for name, array in tensors.items():
        whole = np.ascontiguousarray(array, np.dtype(DTYPES[NAMES[array.dtype]]))
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": NAMES[array.dtype]}
        if binary:
            tail.append(whole.tobytes())
            entry["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            entry["data"] = whole.ravel().tolist()
        told.append(entry)
    head = json.dumps({**said, side: told}).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    return b"".join([head, *tail]), {"Content-Type": "application/octet-stream", HEAD_LENGTH: str(len(head))}


def unpack(side: Side, body: bytes, head_length: str | None, most_json: int = MOST_JSON) -> Message:
    """Read a message.

    Args:
        head_length: the header that tells where JSON ends, where there is one.
        most_json: bytes of JSON; parsed, it takes up to thirty times as much memory.

    Raises:
        Garbled: it breaks the protocol, is cut off, or has more JSON.
    """
    length = len(body) if head_length is None else _number(head_length)
    said = read_json(body[:length], most_json)
    entries = said.get(side)
    if length > len(body) or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Garbled(f"the message has no list of {side}, or is cut off")
    tensors: dict[str, np.ndarray] = {}
    place = length
    for entry in entries:
        array, place = _tensor(entry, body, place)
        tensors[str(entry.get("name"))] = array
    if place != len(body):
        raise Garbled(f"the message has {len(body) - place} bytes more than its tensors")
    return Message(said, tensors)


def read_json(body: bytes, most_bytes: int | None = None) -> dict[str, Any]:
    """Return a JSON object, of so many bytes at most.

    Raises:
        Garbled: it is none, or longer.
    """
    if most_bytes is not None and len(body) > most_bytes:
        raise Garbled(f"the message has {len(body):,} bytes of JSON, and at most {most_bytes:,} are read")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Garbled("the message is not JSON, or is cut off") from error
    if not isinstance(said, dict):
        raise Garbled("the message is no JSON object")
    return said


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Garbled(f"the header {HEAD_LENGTH} is no number")
    return int(text)


def _tensor(entry: Mapping[str, Any], body: bytes, place: int) -> tuple[np.ndarray, int]:
    """One tensor, and where the bytes of the next one begin."""
    shape, datatype = entry.get("shape"), entry.get("datatype")
    if not isinstance(shape, list) or not isinstance(datatype, str) or datatype not in DTYPES:
        raise Garbled(f"a tensor has no shape, or a datatype other than {', '.join(DTYPES)}")
    dtype, count = np.dtype(DTYPES[datatype]), _count(shape)
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return _shaped(_from_json(entry.get("data"), dtype, count), shape), place
    if type(size) is not int or size != count * dtype.itemsize or place + size > len(body):
        raise Garbled(f"a tensor of {count} values has {len(body) - place} bytes left, not {count * dtype.itemsize}")
    return _shaped(np.frombuffer(body, dtype, count, place), shape), place + size


def _count(shape: list[Any]) -> int:
    """How many values a shape holds; it is bounded before anything is multiplied, as a long product takes minutes."""
    if len(shape) > MOST_AXES:
        raise Garbled(f"a tensor has {len(shape):,} axes, and at most {MOST_AXES} are read")
    if not all(type(size) is int and 0 <= size <= MOST_SIZE for size in shape):
        raise Garbled("a tensor has no shape of whole numbers from 0 to 2^63 - 1")
    count: int = math.prod(shape)
    if count > MOST_SIZE:
        raise Garbled("a tensor has a shape of more than 2^63 - 1 values")
    return count


def _shaped(values: np.ndarray, shape: Any) -> np.ndarray:
    """Return the values in a shape that numpy may refuse: 65 dimensions, or a size beyond 64 bits beside a zero."""
    try:
        return values.reshape(shape)
    except (ValueError, OverflowError, MemoryError) as error:
        raise Garbled(f"a tensor cannot have the shape it says ({gist(error)})") from error


def _from_json(data: Any, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """Values from a list, flat or nested; null is NaN, as some servers write it."""
    try:
        found = np.array(data, np.float64 if dtype.kind == "f" else dtype).ravel()
    except (ValueError, TypeError, OverflowError) as error:
        raise Garbled("the data of a tensor are no list of numbers") from error
    if not isinstance(data, list) or len(found) != count:
        raise Garbled(f"a tensor of {count} values has {len(found) if isinstance(data, list) else 'no'} data")
    with np.errstate(over="ignore"):  # beyond what the type holds lies infinity, which nobody takes for an answer
        return found.astype(dtype)
