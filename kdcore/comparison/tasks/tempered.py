"""Writes the student's weights with its temperature in them into the case's folder, to be taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.comparison import export_temperature
from kdcore.comparison.tasks.pair import ComparedPair


def answer(pair: ComparedPair, asked: Mapping[str, Any]) -> dict[str, Any]:
    """{"file"}: the name of the file in the case's folder, with the student at temperature asked["temperature"]."""
    temperature = float(asked["temperature"])
    name = f"student-{temperature:.4g}.safetensors"
    export_temperature.write(pair.student, pair.x, temperature, pair.folder / name)
    return {"file": name}
