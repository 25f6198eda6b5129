"""Write, then rename: what stands at a path is whole, however a process ends and however many write there at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def draft_beside(path: Path) -> Path:
    """Return a hidden path in the folder of `path` that no other writer has, under which to write before the rename."""
    return path.with_name(f".{secrets.token_hex(8)}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; where the block ends well, that file takes the place of `path`, else it is removed.

    Raises:
        OSError: the folder cannot be made, or the file not be put there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(path)
    try:
        yield draft
        draft.replace(path)
    finally:
        with suppress(OSError):  # the first error is the one to see
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
