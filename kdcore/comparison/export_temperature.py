"""A student's weights with a temperature in them: whoever loads them gets logits that are scaled already.

`python -m kdcore.comparison.export_temperature RUN_FOLDER FILE --spec JSON --temperature auto` writes them without a
page.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from kdcore.comparison.question import Party
from kdcore.comparison.tasks.pair import ComparedModel
from kdcore.comparison.temperature_scaling import COLDEST, HOTTEST, fitted, off
from kdcore.contracts.data import Dataset, silent
from kdcore.contracts.net import Net
from kdcore.engine.build import dataset
from kdcore.engine.checkpoint import save_tensors
from kdcore.errors import BadInput
from kdcore.spec.catalogue import home
from kdcore.spec.spec import parse
from kdcore.terminal import say, warn

MOST = 20_000  # validation rows that a temperature is fitted on, the first of the split
TRIED = 256  # rows on which the new weights are compared with the old
WITHIN = 1e-5  # how far their logits may differ from logits / T, as a share of the largest: rounding in float32


class Fit(NamedTuple):
    """A temperature, how many rows it was fitted on, and the p that T = 1 is off by chance alone."""

    temperature: float
    rows: int
    p: float


def on_validation(model: ComparedModel, data: Dataset) -> Fit:
    """Return the temperature that suits a model's logits on validation rows.

    Raises:
        BadInput: no row has a label.
    """
    rows = data.val.x[:MOST]
    logits, labels = model.logits(torch.from_numpy(rows)).numpy(), data.val.y[:MOST]
    return Fit(fitted(logits, labels), len(rows), off(logits, labels))


def divided(net: Net, temperature: float, x: Tensor) -> Net:
    """Return a copy of a network whose last linear layer is divided by a temperature, so that its logits are.

    Args:
        net: stays as it is.
        temperature: above zero.
        x: (B, ...) inputs on which the copy is tried.

    Raises:
        BadInput: what follows that layer is not proportional to it.
    """
    scaled = copy.deepcopy(net)
    linear = [layer for layer in scaled.head.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    with torch.no_grad():
        for tensor in linear[-1].parameters() if linear else ():
            tensor.div_(temperature)
        wanted, found = net(x).logits / temperature, scaled(x).logits
        if not linear or (found - wanted).abs().max() > WITHIN * wanted.abs().max():
            raise BadInput(
                "This network's logits are no linear layer's, so a temperature cannot be put into its weights; divide "
                f"its logits by {temperature:.4g} where they are used."
            )
    return scaled


def write(model: ComparedModel, x: Tensor, temperature: float, out: Path) -> None:
    """Keep a run's student at a temperature as safetensors, whose head says what any run's says and "temperature".

    Args:
        model: a finished run.
        x: (B, ...) raw rows to try it on.
        temperature: that its logits are divided by.
        out: the file.

    Raises:
        BadInput: it is no finished run, the temperature is none, or the network has no linear head.
    """
    kept = Path(model.party.folder or "") / "student.safetensors"
    if model.net is None or not model.party.folder or not kept.exists():
        raise BadInput("Only a finished run of this machine has weights that a temperature can be put into.")
    if not COLDEST <= temperature <= HOTTEST:
        raise BadInput(f"A temperature lies between {COLDEST:g} and {HOTTEST:g}, but got {temperature:g}.")
    scaled = divided(model.net, temperature, model.inputs(x[:TRIED]))
    with safe_open(kept, framework="pt") as stored:
        head = dict(stored.metadata() or {}) | {"spec": str(model.party.spec), "temperature": json.dumps(temperature)}
    save_tensors(out, dict(scaled.state_dict()), head)


def main(arguments: list[str] | None = None) -> None:
    """Write the weights that the words of the command line ask for, and say what was done."""
    parser = argparse.ArgumentParser("export_temperature", description="Put a temperature into a student's weights.")
    parser.add_argument("folder", type=Path, help="a finished run's")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--spec", required=True, help="the run's, as JSON")
    parser.add_argument("--temperature", default="auto", help="a number, or auto: fitted on the validation rows")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    spec = parse(asked.spec)
    data = dataset(spec.data, home() / "data", silent)
    party = Party(title="The student", folder=str(asked.folder), spec=asked.spec)
    model = ComparedModel(party, data, spec.data, torch.device("cpu"))
    if asked.temperature == "auto":
        temperature, rows, _ = on_validation(model, data)
        told = f", fitted on {rows:,} validation rows"
    else:
        temperature, told = float(asked.temperature), ""
    write(model, torch.from_numpy(data.val.x), temperature, asked.out)
    say(f"{asked.out}: the student at temperature {temperature:.4g}{told}; its logits come out scaled.")


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        warn(error)
        sys.exit(2)
