"""What a CUDA graph would repeat, on any device: operations as they are recorded once, with the tensors they had.

Like a graph it sees no Python: a number that Python worked out, a draw of the host, a tensor that was made outside stay
what they were. Unlike one it cannot say whether CUDA is able to capture the operations.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from kdcore.engine.step import Kept


class _Recording(TorchDispatchMode):
    """Notes each operation and what it made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Any]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, tree_flatten(made)[0]))
        return made


class Tape:
    """A recorder of steps, as `kdcore.engine.cuda_graph` wants one."""

    def warming(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, work: Callable[[], Kept]) -> tuple[Kept, Callable[[], None]]:
        """The work is done; what comes back does it again into the same tensors."""
        with _Recording() as recording:
            kept = work()

        def again() -> None:
            with torch.no_grad():
                for func, args, kwargs, made in recording.calls:
                    for old, new in zip(made, tree_flatten(func(*args, **kwargs))[0], strict=True):
                        _write(old, new)

        return kept, again


def _write(old: Any, new: Any) -> None:
    """What an operation made, into the tensor it made the first time; a view shows its base already."""
    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
        old.copy_(new)
