"""What a run on a GPU needs beside what it needs anywhere: the device's own chance, the same bits twice, copies that
nobody waits for, and memory that comes back. On a CPU each of these changes nothing."""

from __future__ import annotations

import gc
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
import torch.utils.deterministic
from torch import Tensor

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"  # by which cuBLAS gives the same bits twice; read at its first use
LACKS = re.compile(r"(\S+) does not have a deterministic implementation")


def steady(device: torch.device) -> None:
    """Take the form of each operation that gives the same bits twice; on a GPU one without such a form warns."""
    gpu = device.type == "cuda"
    os.environ.setdefault(*WORKSPACE)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    # Else each new tensor costs a kernel more.
    torch.utils.deterministic.fill_uninitialized_memory = not gpu  # type: ignore[attr-defined]
    torch.set_deterministic_debug_mode("warn" if gpu else "default")  # use_deterministic_algorithms loads a compiler


def apart(device: torch.device) -> AbstractContextManager[object]:
    """Return a block after which the random streams of the CPU and of `device` stand where they stood."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def chance_of(device: torch.device) -> dict[str, Tensor]:
    """Where the random streams of a run on `device` stand, by their kind."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def go_on(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Put the streams back where `chance_of` found them; a run that comes from a machine without a GPU has one."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def onto(values: Tensor, device: torch.device) -> Tensor:
    """Values of the host on a device. A GPU fetches them itself, from memory that is pinned: nobody waits."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


class Listener:
    """Hears which operations have no form that gives the same bits twice, instead of a warning at each of them."""

    def __init__(self, device: torch.device) -> None:
        self.gpu, self.heard = device.type == "cuda", set[str]()
        self.passed: dict[str | tuple[str, type[Warning], int], int] = {}  # so that these come once from a line too

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hear the warnings of a block; those about something else are passed on."""
        if not self.gpu:
            yield
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for one in caught:
            if lacks := LACKS.search(str(one.message)):
                self.heard.add(lacks[1])
            else:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno, registry=self.passed)


def give_back() -> None:
    """Return to the system what an ended run held of a GPU's memory."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()  # the parts of a run refer to each other, so they would stay until Python looks for such rings
        torch.cuda.empty_cache()
