"""`make bench`: every promise about speed, measured here and now; a table on the screen and in build/bench.json."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # not this folder, whose torchdistill.py would hide the library

from tests.bench import blackbox, engine, inspector, methods, teachers, torchdistill, web  # noqa: E402

OUT = ROOT / "build" / "bench.json"
PARTS: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
    "engine": engine.rows,
    "torchdistill": torchdistill.rows,
    "web": web.rows,
    "methods": methods.rows,
    "teachers": teachers.rows,
    "blackbox": blackbox.rows,
    "inspector": inspector.rows,
}


def told(row: dict[str, Any]) -> str:
    """One line of the table."""
    if "said" in row:
        return f"       {row['what']}: {row['said']}"
    value = row.get("ratio", row.get("value"))
    spread = f" ({row['from']:.3f} to {row['to']:.3f})" if "from" in row else ""
    said = f"{row['what']}: {value:.3f} {row.get('unit', '')}{spread}"
    if not row.keys() & {"at least", "at most"}:
        return f"       {said}"
    least = "at least" in row
    limit = row["at least"] if least else row["at most"]
    kept = value >= limit if least else value <= limit
    bound = f"{'at least' if least else 'at most'} {limit:g}"
    return f"{'kept  ' if kept else 'MISSED'} {said}, promised {bound}"


def main(wanted: list[str]) -> None:
    """Measure all parts, or those named."""
    found = []
    for part in wanted or PARTS:
        for row in PARTS[part]():
            found.append(row)
            print(told(row), flush=True)
    machine = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"on": machine, "rows": found}, indent=1))
    print(f"Written to {OUT.relative_to(ROOT)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
