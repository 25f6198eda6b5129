"""A small walk through KD Lab with whatever versions are installed: `make lowest` runs it with the lowest.

It trains a teacher and a student, exports the run and brings it in elsewhere, asks an ONNX file, opens every page, and
loads the server's sockets.
"""

from __future__ import annotations

import importlib.metadata as installed
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "teachers")]
PAGES = ("lab", "blackbox", "inspector", "methods", "runs", "library")


def versions() -> str:
    """What of the requirements is installed."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = [re.split("[<>=]", line)[0] for line in lines if line and not line.startswith("#")]
    return " ".join(f"{name} {installed.version(name)}" for name in names)


def commands(home: Path) -> None:
    """A run, its record, and the record in another home."""
    from app.cli import main

    few = ["--steps", "20", "--set", "teacher.schedule.steps=20"]
    assert main(["run", "--data", "digits", *few]) == 0
    from kdcore.jobs.store import Store

    run = next(run for run in Store().runs() if run.spec.teacher)
    assert main(["export", run.id, str(home / "record")]) == 0
    assert main(["inspect", run.id]) == 0
    os.environ["KDLAB_HOME"] = str(home / "other")
    assert main(["import", str(home / "record")]) == 0
    os.environ["KDLAB_HOME"] = str(home)


def onnx_file() -> None:
    """An ONNX file, tried and asked."""
    import torch
    from files import CLASSES, SHAPE, linear

    from kdcore.files import uploads
    from kdcore.teachers.onnx import OnnxTeacher

    line = OnnxTeacher(file=uploads.keep(linear().SerializeToString())).connect(SHAPE, CLASSES)
    assert line(torch.rand(7, *SHAPE)).logits.shape == (7, CLASSES)


def pages() -> None:
    """Every page, without an error."""
    from streamlit.testing.v1 import AppTest

    for name in PAGES:
        page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120).run()
        page = page if name == "lab" else page.switch_page(f"views/{name}.py").run()
        assert not page.exception, (name, page.exception)


def sockets() -> None:
    """The server with its sockets, loaded."""
    import uvicorn

    config = uvicorn.Config("app.asgi:app", ws="app.live.socket:Bounded", log_config=None)
    config.load()
    assert config.loaded


if __name__ == "__main__":
    print(versions())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDLAB_HOME"] = folder
        commands(Path(folder))
        onnx_file()
        pages()
        sockets()
    print("All of it works with these versions.")
