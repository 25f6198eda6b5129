"""KD Lab as a wheel: it carries all it shows, and its pages open far from any checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import ROOT, free_port, person, wait_for
from playwright.sync_api import Browser, expect

PAGES = ("", "blackbox", "inspector", "methods", "runs", "library")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was unpacked, as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(source)], check=True)
    subprocess.run([*command, str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_a_wheel_carries_every_file_of_the_checkout(site: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "app", "kdcore"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert [name for name in listed.stdout.splitlines() if not (site / name).exists()] == []
    listed = subprocess.run(["git", "ls-files", "assets"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert [name for name in listed.stdout.splitlines() if not (site / "app" / name).exists()] == []


@pytest.fixture
def address(site: Path, tmp_path: Path) -> Iterator[str]:
    """Where the unpacked wheel serves, started in an empty folder."""
    port = free_port()
    environment = os.environ | {"KDLAB_HOME": str(tmp_path), "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "app.cli", "app", "--no-open", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/api/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.mark.browser
def test_its_pages_open(chromium: Browser, address: str) -> None:
    with person(chromium, address) as page:
        for name in PAGES:
            page.goto(f"/{name}")
            expect(page.locator("h1, h2, h3").first).to_be_visible()
            expect(page.get_by_test_id("stException")).to_have_count(0)
            expect(page.locator("img[data-testid*=Logo]").first).to_be_visible()
