"""`make gpu`: what holds on this machine's GPU, one line a check; a table on the screen and in build/gpu.json.

It needs torch, torchvision, numpy, pydantic and safetensors, no network, and ends within eight minutes. With
`--device cpu --small` everything that means something on a CPU is really done there; what only CUDA can show says
"skipped".
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gpu.lines import Line

ROOT = Path(__file__).resolve().parents[2]
if sys.path[0] == str(Path(__file__).resolve().parent):  # as a script
    sys.path[0] = str(ROOT)
OUT = ROOT / "build" / "gpu.json"
NEEDED = ("torch", "torchvision", "numpy", "pydantic", "safetensors")
LIMIT_S = 440.0  # of all checks, so that the whole with its start stays below eight minutes
HANG_S = 15.0  # beyond that the process is ended, whatever it does
SHARES_S = {  # of each check, of LIMIT_S; they begin in this order
    "steps": 70.0,
    "bits": 130.0,
    "syncs": 50.0,
    "captured": 50.0,
    "memory": 15.0,
    "preset": 60.0,
    "speed": 80.0,
}

REAL = ("preset", "speed")  # on data of their own


def missing() -> list[str]:
    """What the script needs and this machine lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def options(words: list[str]) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="few steps of what only needs to run")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="seconds for all checks together")
    parser.add_argument("--only", nargs="+", choices=SHARES_S, default=list(SHARES_S), help="which checks")
    parser.add_argument("--methods", nargs="+", help="which methods; all of them where none is named")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(words)


def looks(asked: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """The lines of every check that was asked for."""
    from kdcore.spec.registry import METHODS
    from tests.gpu import bits, captured, memory, preset, speed, steps, syncs
    from tests.gpu.lines import Clock
    from tests.gpu.place import MAKERS, Place, pixels_for_digits

    place, clock, few = Place(folder, asked.device), Clock(asked.limit_s), asked.methods
    methods, makers = few or list(METHODS), [] if few else MAKERS
    every: dict[str, Callable[[], Iterator[Line]]] = {
        "steps": lambda: steps.lines(place, clock, methods),
        "bits": lambda: bits.lines(place, clock, methods, makers),
        "syncs": lambda: syncs.lines(place, clock, few),
        "captured": lambda: captured.lines(place, clock, few),
        "memory": lambda: memory.lines(place, clock),
        "preset": lambda: preset.lines(place, clock, asked.small),
        "speed": lambda: speed.lines(asked.device, clock),
    }
    for name in (name for name in every if name in asked.only):
        clock.begin(SHARES_S[name] * asked.limit_s / LIMIT_S)
        with nullcontext() if name in REAL else pixels_for_digits():
            yield from every[name]()


def main(words: list[str]) -> int:
    """Look at all of it; 1 where something does not hold, 2 where it cannot be looked at."""
    asked = options(words)
    if lacking := missing():
        print(f"This needs {', '.join(lacking)}, which this machine's Python lacks; install it, then run again.")
        return 2
    import torch

    if asked.device == "cuda" and not torch.cuda.is_available():
        print('There is no GPU here; on a CPU: make gpu ARGS="--device cpu --small"')
        return 2
    faulthandler.dump_traceback_later(asked.limit_s + HANG_S, exit=True, file=sys.__stderr__)
    try:
        return told(asked)
    finally:
        faulthandler.cancel_dump_traceback_later()


def told(asked: argparse.Namespace) -> int:
    """Print every line as soon as it is known, and keep them all."""
    import torch

    from kdcore.device import steady
    from tests.gpu.lines import kept, machine, summed

    device = torch.device(asked.device)
    steady(device)
    print(", ".join(f"{name} {value}" for name, value in machine(device).items()))
    found: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for line in looks(asked, Path(folder)):
            found.append(line)
            print(line, flush=True)
            kept(asked.out, device, found)
    print(f"{summed(found)}; written to {asked.out}")
    return int(any(line.status == "FAILED" for line in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
