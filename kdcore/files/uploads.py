"""Files that a person uploads for a teacher: kept under the digest of their content, and never run or unpickled.

A file lies at `home()`/uploads/<16 hex digits of its SHA-256>.<kind>. Its first bytes must be those of its kind, so a
pickle, a zip of pickles (what `torch.save` writes) or anything else is refused before it is read whole. What else may
be wrong with it is the matter of the teacher that reads it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, get_args

from kdcore.atomic import draft_beside
from kdcore.errors import BadInput
from kdcore.spec.catalogue import home

Kind = Literal["onnx", "safetensors"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIMIT_BYTES = 2 << 30  # protobuf's own limit, which no ONNX file without external data can pass
HEAD_BYTES = 9
CHUNK_BYTES = 1 << 20
NAME = re.compile(rf"[0-9a-f]{{16}}\.({'|'.join(KINDS)})")
PICKLED = (b"\x80", b"PK\x03\x04", b"PK\x05\x06", b"(", b"c", b"]", b"}")  # how pickles and zips of them begin
PICKLES = ("pt", "pth")  # how weights as torch saves them are named; they are taken only to be told what to do
SAFELY = (  # clones, as tensors that are strided or shared are not taken
    "import torch; from safetensors.torch import save_file; save_file({name: one.contiguous().clone() for name, one in "
    "torch.load('model.pt', weights_only=True).items()}, 'model.safetensors')"
)
ACCEPTED = "an ONNX file (.onnx) or safetensors weights (.safetensors)"


def keep(content: bytes | Path, kind: str | None = None) -> str:
    """Keep a file and return the name under which it is found again; the same content has the same name.

    Args:
        content: the bytes, or where they lie.
        kind: "onnx" or "safetensors"; what its first bytes say when None.

    Raises:
        BadInput: it is absent, too large, or no such file.
    """
    try:
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            return _kept(file, kind)
    except OSError as error:
        raise BadInput(f"{content!s:.200} cannot be read ({error.strerror}); give {ACCEPTED}.") from error


def path(name: str, kind: str) -> Path:
    """Where an uploaded file of a kind lies.

    Raises:
        BadInput: no file is named, it is of another kind, or it is not there.
    """
    if not name:
        raise BadInput(f"This teacher needs a file, but none is named; `kdlab upload FILE` takes {ACCEPTED}.")
    if not NAME.fullmatch(name) or not name.endswith(f".{kind}"):
        raise BadInput(
            f"{name[:60]!r} is no name of an uploaded {kind} file, which reads like 0123456789abcdef.{kind}; "
            "`kdlab upload FILE` prints it."
        )
    found = home() / "uploads" / name
    if not found.is_file():
        raise BadInput(f"No uploaded file is named {name!r}; upload it again with `kdlab upload FILE`.")
    return found


def names() -> frozenset[str]:
    """All uploaded files."""
    folder = home() / "uploads"
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


def _kept(file: IO[bytes], kind: str | None) -> str:
    size_bytes = file.seek(0, os.SEEK_END)
    if size_bytes > LIMIT_BYTES:
        raise BadInput(
            f"The file has {size_bytes / 2**30:.1f} GB, but at most {LIMIT_BYTES >> 30} are taken; give a smaller one."
        )
    file.seek(0)
    found = _kind(file.read(HEAD_BYTES), size_bytes)
    if kind and kind != found:
        raise BadInput(f"The file is no {kind} file but looks like {found}; give it for what it is.")
    file.seek(0)
    return _stored(file, found)


def _kind(head: bytes, size_bytes: int) -> Kind:
    """Return what a file's first bytes say it is: ONNX begins with the number of its version, safetensors with its
    head's length and the brace that opens it.
    """
    if len(head) == HEAD_BYTES and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size_bytes - 8:
        return "safetensors"
    if head[:1] == b"\x08":
        return "onnx"
    if head.startswith(PICKLED):
        raise BadInput(
            f"The file looks like a pickle or a zip, as `torch.save` writes, which could run code when it is opened, "
            f"so it was not; give {ACCEPTED}. These lines turn weights of yours into the latter: {SAFELY}."
        )
    raise BadInput(f"The file is neither ONNX nor safetensors (it begins with {head.hex()}); give {ACCEPTED}.")


def _stored(file: IO[bytes], kind: Kind) -> str:
    """Copy a file to the place that its digest names."""
    folder = home() / "uploads"
    draft = draft_beside(folder / "any")
    digest = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as out:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        name = f"{digest.hexdigest()[:16]}.{kind}"
        draft.replace(folder / name)
    except OSError as error:
        raise BadInput(f"Nothing can be kept in {folder} ({error.strerror}); free some disk space there.") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return name
