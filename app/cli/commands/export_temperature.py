"""`kdlab export RUN FILE --temperature`: the process becomes the one that writes the weights, which needs torch."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from kdcore.errors import BadInput
from kdcore.jobs.states import WORDS
from kdcore.jobs.store import Store

AUTO = "auto"
WEIGHTS = ".safetensors"  # ending of the student's file


def check_ending(place: Path, temperature: str | None) -> None:
    """Pass where a path's ending says what is written to it: none is a folder, .safetensors the student's weights.

    Raises:
        BadInput: it says something else.
    """
    ending = place.suffix.lower()
    if temperature is None and ending == WEIGHTS:
        raise BadInput(
            f"{place} would hold the student's weights, which are written at a temperature: add --temperature auto, or "
            "--temperature 1 for the logits as they are."
        )
    if temperature is not None and ending != WEIGHTS:
        raise BadInput(f"The student is written as a {WEIGHTS} file, but got {str(place)!r}; give it that ending.")
    if temperature is None and re.fullmatch(r"\.[a-z]\w*", ending):
        raise BadInput(
            f"A run is exported to a folder, whose name has no ending, or its student to a {WEIGHTS} file with "
            f"--temperature, but got {str(place)!r}; choose one of the two."
        )


def temper(run_id: str, out: Path, temperature: str) -> None:
    """Write a finished run's student with a temperature in its weights; this process is replaced.

    Raises:
        BadInput: there is no such run, it is not done, the temperature is no number, or the file is there.
    """
    store = Store()
    run = store.get(run_id)
    store.close()
    if run.state != "done" or not run.weights.exists():
        raise BadInput(
            f"Run {run_id} is {WORDS[run.state]}, and only a finished run with its weights has a student to export."
        )
    if out.exists():
        raise BadInput(f"{out} is there already; choose another name.")
    words = [str(run.folder), str(out), "--spec", run.spec.model_dump_json(), "--temperature", _number(temperature)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "kdcore.comparison.export_temperature", *words])


def _number(temperature: str) -> str:
    if temperature != AUTO:
        try:
            float(temperature)
        except ValueError:
            raise BadInput(f"A temperature is a number or {AUTO!r}, but got {temperature[:40]!r}.") from None
    return temperature
