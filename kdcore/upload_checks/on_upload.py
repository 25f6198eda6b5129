"""An uploaded file looked at when it comes, so that what is wrong with it is said there and not by a run that fails.

What only shows beside data, such as other classes than theirs, is the matter of the teacher that reads the file. No
torch is imported here.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.teachers import _trial
from kdcore.untrusted import check_head, parsing


def receive(content: bytes | Path, kind: str | None = None) -> str:
    """Keep an uploaded file as `uploads.keep` does, once it can be used; its name.

    Args:
        content: the bytes, or where they lie.
        kind: "onnx" or "safetensors"; what its first bytes say when None.

    Raises:
        BadInput: it is absent, too large, no such file, or cannot be used; nothing new is kept then.
    """
    before = uploads.names()
    name = uploads.keep(content, kind)
    path = uploads.path(name, name.partition(".")[2])
    try:
        (_try_onnx if path.suffix == ".onnx" else _try_weights)(path)
    except BadInput:
        if name not in before:  # a run may ask the one that was there
            path.unlink(missing_ok=True)
        raise
    return name


def _try_onnx(path: Path) -> None:
    _trial.apart(path, None)


def _try_weights(path: Path) -> None:
    """Check that the head of weights can be read and names tensors."""
    from safetensors import safe_open

    with parsing("The safetensors file is damaged or cut off", "save and upload it again"), ExitStack() as opened:
        check_head(path)
        stored = opened.enter_context(safe_open(path, framework="np"))
        if not list(stored.keys()):
            raise BadInput("The safetensors file holds no tensors; save the network's state_dict and upload that.")
