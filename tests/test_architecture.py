"""The house stands as ARCHITECTURE.md draws it: imports point down, and each file is one thing of a readable size."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from itertools import permutations
from pathlib import Path

import pytest

from kdcore.spec.registry import REGISTRIES

ROOT = Path(__file__).parents[1]
# Rooms by floor, the lowest first: a room imports what lies below it, never a neighbour or what lies above. Those of
# the ground are modules, which see each other.
GROUND = (
    "atomic",
    "device",
    "errors",
    "events",
    "frozen",
    "seeding",
    "single_entry_cache",
    "stdio_rpc",
    "terminal",
    "untrusted",
)  # modules, which see each other
ENGINE_FLOORS = (
    GROUND,
    ("contracts",),
    ("spec",),
    ("files", "mimics", "models", "nn", "runs"),
    ("data", "generation", "jobs", "methods", "probes"),
    ("engine", "explain", "sources"),
    ("blackbox", "remote", "study"),
    ("comparison", "teachers"),
    ("upload_checks",),
)
APP_FLOORS = (
    ("paths", "theme"),
    ("run_store",),
    ("text",),
    ("panels",),
    ("links", "live", "reports"),
    ("results", "state"),
    ("forms", "helpers"),
    ("asgi", "cli"),
    ("components",),
    ("inspector", "main"),
    ("views",),
)
LIGHT = ("comparison", "data", "files", "jobs", "mimics", "probes", "runs", "spec")  # rooms that load no torch,
HEAVY = [  # but for these
    *(ROOT / "kdcore" / name for name in ("spec/costs.py", "comparison/worker.py", "comparison/export_temperature.py")),
    *(ROOT / "kdcore/comparison/tasks").glob("*.py"),
]
ISLANDS = ("methods", "models", "data", "sources", "teachers")
LONGEST = 400
WORKER = ROOT / "kdcore/jobs/worker.py"
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
    without = [path for path in files("kdcore/probes", "kdcore/jobs", "kdcore/comparison") if path not in HEAVY]
    found = {path: loads(path, "torch", "torchvision") for path in without}
    found |= {path: loads(path, "torch", "torchvision", everywhere=False) for path in files("kdcore/data")}
    assert not any(found.values()), found


@pytest.mark.parametrize(("one", "other"), list(permutations(ISLANDS, 2)))
def test_islands_do_not_import_one_another(one: str, other: str) -> None:
    found = {path.name: loads(path, f"kdcore.{other}") for path in files(f"kdcore/{one}")}
    assert not any(found.values()), found


@pytest.mark.parametrize(("package", "floors"), [("kdcore", ENGINE_FLOORS), ("app", APP_FLOORS)])
def test_every_import_points_down(package: str, floors: tuple[tuple[str, ...], ...]) -> None:
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    assert {room(name, package) for name in graph()} - {""} == floor.keys(), (
        "a room has no floor, or a floor names no room"
    )
    upward = [
        (source, target)
        for source, targets in graph().items()
        for target in targets
        for here, there in [(room(source, package), room(target, package))]
        if here and there and here != there and not floor[there] < floor[here] and not {here, there} <= {*GROUND}
    ]
    assert upward == []


def test_no_imports_go_in_circles() -> None:
    """Those of types alone, and those inside functions, among them."""
    TopologicalSorter(graph()).prepare()


def room(module: str, package: str) -> str:
    """The folder or file of a package in which a module lies; "" where it lies elsewhere."""
    head, *rest = module.split(".")
    return rest[0] if head == package and rest else ""


@cache
def graph() -> dict[str, set[str]]:
    """What each module of the engine and the pages imports of them."""
    paths = {_name(path): path for path in files("kdcore", "app")}
    return {name: {found for found in _modules(path, paths) if found != name} for name, path in paths.items()}


def _modules(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Full names of the modules that a file imports, or of which it imports names."""
    for name in imports(path):
        parent = name.rpartition(".")[0]
        if name not in known:
            yield from {parent} & known.keys()
        elif known[name].name != "__init__.py":  # a package counts where names of its own are taken
            yield name


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_what_the_server_loads_holds_no_torch() -> None:
    """Asked of a process of its own: importing everything but what trains leaves torch and, below, Streamlit out."""
    light = [path for path in files(*(f"kdcore/{name}" for name in LIGHT)) if path not in [*HEAVY, WORKER]]
    pages = [path for path in files("app") if path.parent.name != "views" and path.stem not in ("main", "__main__")]
    lower, upper = (
        [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in part] for part in (light, pages)
    )
    code = (
        "import sys, importlib\n"
        f"for name in {lower}: importlib.import_module(name)\n"
        "assert not {'torch', 'streamlit', 'plotly', 'app'} & set(sys.modules)\n"
        "import app.cli, app.cli.arguments, app.cli.commands.run, app.cli.commands.show\n"
        "assert not {'torch', 'streamlit', 'plotly'} & set(sys.modules)\n"
        f"for name in {upper}: importlib.import_module(name)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", REGISTRIES)
def test_each_registered_file_defines_one_thing(kind: str) -> None:
    assert len({REGISTRIES[kind][name] for name in REGISTRIES[kind]}) == len(REGISTRIES[kind]) > 0


def test_no_class_name_stands_for_two_things() -> None:
    places: dict[str, list[Path]] = {}
    for path in files("kdcore", "app"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(ROOT))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


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
