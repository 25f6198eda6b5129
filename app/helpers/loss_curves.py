"""The curves of a method, from a process of its own, since this one never loads torch.

The helper is started when the first curve is wanted, kept warm, and ends with its stdin, hence with the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kdcore.explain.examples import Example, Kind
from kdcore.spec import catalogue
from kdcore.stdio_rpc import HelperProcess

MODULE = "kdcore.explain.loss_curves"
TIMEOUT_S = 60.0  # the first response waits for torch to be imported
REMEMBERED = 512


helper = HelperProcess(MODULE, TIMEOUT_S, "The example")


def kinds(method: Mapping[str, Any]) -> tuple[Kind, ...]:
    """Return the examples in which a method of the catalogue can be shown, the most telling first."""
    if {"features", "blocks", "gradients"} & set(method["needs"]):
        return ("features",)
    return ("two", "five", "features")


def curves(name: str, knobs: Mapping[str, Any], example: Example) -> dict[str, Any]:
    """Return what `kdcore.explain.loss_curves` computes of one method in one example; not to be changed.

    Raises:
        BadInput: why it cannot be shown.
    """
    if example.kind not in (known := kinds(catalogue.entry("method", name))):
        example = example.model_copy(update={"kind": known[0]})
    return _curves(name, json.dumps(knobs, sort_keys=True), example)


@lru_cache(REMEMBERED)
def _curves(name: str, knobs: str, example: Example) -> dict[str, Any]:
    asked = {"method": name, "knobs": json.loads(knobs), "example": example.model_dump()}
    found: dict[str, Any] = helper.ask(asked)["curves"]
    return found
