"""What the documents show works as shown."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.cli.commands import run
from kdcore.contracts.access import GRANTS
from kdcore.contracts.method import ASKS, JOINS, LINEAGES, Method
from kdcore.spec.lineage import recommended
from kdcore.spec.registry import METHODS
from kdcore.spec.spec import Spec
from kdcore.study.study import read

ROOT = Path(__file__).parents[1]
GUIDES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *GUIDES)


def blocks(document: str, language: str = "") -> list[str]:
    """The code blocks of a document."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    return [block for spoken, block in found if spoken == language]


def commands(document: str, start: str) -> list[list[str]]:
    """The words of each shown command line that starts so, without its comment and what it is piped into."""
    lines = [line for block in blocks(document) for line in block.splitlines() if line.startswith(start)]
    return [shlex.split(line.split("|")[0], comments=True)[1:] for line in lines]


def all_commands(start: str) -> list[list[str]]:
    """Those of README and guides."""
    return [words for document in ("README.md", *GUIDES) for words in commands(document, start)]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_runs_in_the_documents_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Spec] = []
    monkeypatch.setattr(run, "distil", lambda spec, **_: asked.append(spec) or 0)
    monkeypatch.chdir(tmp_path)
    Path("run.json").write_text(recommended("moons").model_dump_json())
    shown = all_commands("kdlab run ")
    assert [main(words) for words in shown] == [0] * len(shown)
    assert asked[0] == recommended()
    assert len(asked) == len(shown) >= 10


def test_the_studies_in_the_documents_can_be_read() -> None:
    shown = {words[1] for words in all_commands("kdlab study ")}
    assert [read(ROOT / path).name for path in shown] == ["catalogue"]


def test_the_studies_guide_names_each_method_that_trains_at_a_share_of_the_learning_rate() -> None:
    text = (ROOT / "docs/studies.md").read_text().split("share of the learning rate", 1)[1].split("\n- ", 1)[0]
    named = set(re.findall(r"`(\w+)`", text))
    assert named == {name for name, method in METHODS.items() if method.rate != 1}


def test_the_guide_names_all_that_a_method_may_say() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    said = {name for name in vars(Method) if not name.startswith(("_", "model_"))} | set(Method.__annotations__)
    assert [name for name in said if f"`{name}" not in guide and f"    {name}:" not in guide] == []
    values = {*GRANTS["white_box"], *ASKS, *JOINS, *LINEAGES}
    assert [value for value in values if f'"{value}"' not in guide] == []


def test_the_make_targets_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target for document in DOCUMENTS for target in re.findall(r"`?make (\w+)[` ]", (ROOT / document).read_text())
    }
    assert {"run", "test", "check", "bench", "soak", "clean"} <= shown & targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_the_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    named = re.findall(r"`((?:app|kdcore|tests|assets)/[\w/.]*)`", text)
    new = "kdcore/methods/logit_regression.py"  # the one that the reader adds
    assert [path for path in named if path != new and not (ROOT / path).exists()] == []
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []


def test_the_method_in_one_file(tmp_path: Path) -> None:
    """Dropped into a copy of the engine, with no edit elsewhere, it is listed, trains, and meets every contract."""
    for folder in ("app", "kdcore", "tests/methods"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "kdcore/methods/logit_regression.py").write_text(blocks("CONTRIBUTING.md", "python")[0])
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "KDLAB_HOME": str(tmp_path / "home")}
    shown = [["-m", "app.cli", *words] for words in commands("CONTRIBUTING.md", "kdlab ")]
    shown[1] += ["--steps", "10", "--set", "teacher.schedule.steps=10"]
    contract = ["-m", "pytest", "tests/methods/test_methods.py", "-k", "logit_regression", "-p", "no:cacheprovider"]
    said = []
    for words in (*shown, contract):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert "Ba and Caruana" in said[0]
    assert "Logit regression · Moons" in said[1]
    assert "passed" in said[2]
