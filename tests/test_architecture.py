"""The house stands as ARCHITECTURE.md draws it: imports point down, and each file is one thing of a readable size."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from kdcore.registry import REGISTRIES

ROOT = Path(__file__).parents[1]
GROUND = (
    "contracts",
    "maker",
    "service",
    "spec",
    "wall",
    "fit",
    "frozen",
    "ranges",
    "events",
    "bill",
    "registry",
    "catalogue",
    "record",
    "errors",
    "untrusted",
    "probable",
    "net",
)
ISLANDS = ("methods", "models", "data", "sources", "teachers")
LONGEST = 400
UNFINISHED = tuple(word + end for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X") for end in (":", " ", "("))
SCREEN = ("streamlit", "plotly", "app")


def files(*places: str) -> list[Path]:
    """Python files of folders (with all below) or modules, by path from the root."""
    found = [path for place in places for path in (sorted((ROOT / place).rglob("*.py")) or [ROOT / f"{place}.py"])]
    assert all(path.is_file() for path in found)
    return found


def imports(path: Path, *, everywhere: bool = True) -> set[str]:
    """Full names of the modules a file imports; only those that importing it loads unless `everywhere`."""
    names: set[str] = set()
    for node in _nodes(ast.parse(path.read_text()), everywhere):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _nodes(tree: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        if everywhere or not later:
            yield node
            yield from _nodes(node, everywhere)


def loads(path: Path, *packages: str, everywhere: bool = True) -> list[str]:
    """What a file imports of some packages."""
    found = imports(path, everywhere=everywhere)
    return sorted(name for name in found for package in packages if name == package or name.startswith(f"{package}."))


def test_the_engine_knows_no_screen() -> None:
    assert {path: loads(path, *SCREEN) for path in files("kdcore") if loads(path, *SCREEN)} == {}


def test_the_front_end_never_loads_torch() -> None:
    assert {path: loads(path, "torch", "torchvision") for path in files("app") if loads(path, "torch")} == {}


def test_probes_and_jobs_know_no_torch_and_data_only_inside_functions() -> None:
    without = files("kdcore/probes", "kdcore/jobs", "kdcore/cases")
    found = {path: loads(path, "torch", "torchvision") for path in without}
    found |= {path: loads(path, "torch", "torchvision", everywhere=False) for path in files("kdcore/data")}
    assert not any(found.values()), found


@pytest.mark.parametrize(("one", "other"), list(permutations(ISLANDS, 2)))
def test_islands_do_not_import_one_another(one: str, other: str) -> None:
    found = {path.name: loads(path, f"kdcore.{other}") for path in files(f"kdcore/{one}")}
    assert not any(found.values()), found


def test_ground_rests_on_ground_alone() -> None:
    allowed = {"kdcore", *(f"kdcore.{name}" for name in GROUND)}
    for name in GROUND:
        found = {
            module for module in loads(ROOT / f"kdcore/{name}.py", "kdcore", everywhere=False) if module in _modules()
        }
        assert found <= allowed, f"{name} imports {found - allowed}"


def _modules() -> set[str]:
    """Every module and package of the engine, so that names inside modules are told apart from them."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in files("kdcore")]
    return {".".join(path.parts).removesuffix(".__init__") for path in paths}


def test_what_the_server_loads_holds_no_torch() -> None:
    """Asked of a process of its own: importing everything but what trains leaves torch and, below, Streamlit out."""
    folders = [f"kdcore/{name}" for name in ("probes", "data", "jobs", "cases")]
    light = [path for path in files(*folders) if path.stem != "worker"]
    light += [ROOT / f"kdcore/{name}.py" for name in GROUND if name != "net"]
    pages = [path for path in files("app") if path.parent.name != "views" and path.stem not in ("main", "__main__")]
    lower, upper = (
        [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in part] for part in (light, pages)
    )
    code = (
        "import sys, importlib\n"
        f"for name in {lower}: importlib.import_module(name)\n"
        "assert not {'torch', 'streamlit', 'plotly', 'app'} & set(sys.modules)\n"
        "import app.cli, app.cli.arguments, app.cli.headless, app.cli.listing\n"
        "assert not {'torch', 'streamlit', 'plotly'} & set(sys.modules)\n"
        f"for name in {upper}: importlib.import_module(name)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", REGISTRIES)
def test_each_registered_file_defines_one_thing(kind: str) -> None:
    assert len({REGISTRIES[kind][name] for name in REGISTRIES[kind]}) == len(REGISTRIES[kind]) > 0


def test_no_file_is_too_long_or_unfinished() -> None:
    sources = [path for place in ("app", "kdcore", "tests") for path in (ROOT / place).rglob("*.*")]
    for path in (path for path in sources if path.suffix in (".py", ".js", ".css", ".html")):
        text = path.read_text()
        assert len(text.splitlines()) <= LONGEST, path
        assert not any(word in text for word in UNFINISHED), path


def test_only_a_run_a_supervisor_news_and_a_parser_may_fail_in_every_way() -> None:
    broad = [path.relative_to(ROOT) for path in files("app", "kdcore") for _ in _broad_handlers(path)]
    jobs = [Path("kdcore/jobs/local.py"), Path("kdcore/jobs/worker.py")]
    assert broad == [Path("app/live/hub.py"), *jobs, Path("kdcore/untrusted.py")]


def _broad_handlers(path: Path) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler) and (
            node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
        ):
            yield node
