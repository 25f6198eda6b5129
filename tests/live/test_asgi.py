"""The server as a whole: what it loads, what it is configured to be, what it starts and stops."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from stage import Stage
from streamlit import config

from app import asgi, run_store, theme
from app.paths import APP
from kdcore.jobs.store import Store

CONFIG = APP / ".streamlit" / "config.toml"


def test_the_server_never_loads_torch() -> None:
    code = "import sys, json, app.asgi, app.panels; app.panels.panels(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=APP.parent)
    assert not {"torch", "torchvision"} & set(json.loads(done.stdout.splitlines()[-1]))


def test_every_setting_is_one_that_streamlit_knows() -> None:
    def flat(prefix: str, table: dict[str, object]) -> list[str]:
        return [
            name
            for key, value in table.items()
            for name in (flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [f"{prefix}{key}"])
        ]

    names = flat("", tomllib.loads(CONFIG.read_text()))
    assert "runner.postScriptGC" in names
    assert set(names) <= set(config._config_options_template)


def test_the_pages_have_the_colours_of_the_panels() -> None:
    table = tomllib.loads(CONFIG.read_text())["theme"]
    assert tuple(table["chartCategoricalColors"]) == theme.SERIES
    for look in ("light", "dark"):
        page = table[look]
        assert page["primaryColor"] == theme.PRIMARY[look]
        assert page["blueColor"] == theme.TEACHER[look]
        assert (page["orangeColor"], page["greenColor"]) == (theme.STUDENT[look], theme.GOOD[look])
        assert (page["backgroundColor"], page["textColor"]) == (theme.PAPER[look], theme.INK[look])
        assert page["borderColor"] == theme.GRID[look]


class Recorder:
    """Stands for the supervisor."""

    said: list[str]

    def __init__(self, store: Store, slots: int) -> None:
        Recorder.said = [f"{slots} at {store.home.name}"]

    def start(self) -> None:
        self.said.append("start")

    def stop(self) -> None:
        self.said.append("stop")


def test_the_lifespan_opens_brings_starts_and_stops(
    store: Store, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.begin()
    stage.tell(10)
    stage.finish()
    demos = tmp_path / "demo"
    store.export(stage.id, demos / "good")
    facts = json.loads((demos / "good" / "run.json").read_text())
    (demos / "good" / "run.json").write_text(json.dumps(facts | {"id": "a-demo"}))
    (demos / "broken").mkdir()
    monkeypatch.setattr(asgi, "DEMOS", demos)
    monkeypatch.setattr(asgi, "Supervisor", Recorder)
    monkeypatch.setattr(run_store, "store", lambda: store)
    monkeypatch.setenv("KDLAB_SLOTS", "3")

    async def live() -> None:
        async with asgi.lifespan(asgi.app) as state:
            assert state["hub"] is asgi.hub
            assert Recorder.said[-1] == "start"

    asyncio.run(live())
    assert Recorder.said == [f"3 at {store.home.name}", "start", "stop"]
    assert store.get("a-demo").owner == run_store.DEMO
    assert "broken holds no readable recorded run" in caplog.text
