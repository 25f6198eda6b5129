"""What stands at a path is whole, however many write there and whatever ends them."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kdcore.atomic import replacing, write_text

ROOT = Path(__file__).parents[1]
# An upload's name is the digest of what was written, and an archive is unpacked to many files at once.
RENAMERS = {"kdcore/atomic.py", "kdcore/files/uploads.py", "kdcore/data/_published.py"}


def test_writers_at_once_do_not_race(tmp_path: Path) -> None:
    """Of 16 threads that write 200 texts each to one path none fails, and a reader meets one of the texts whole."""
    path, texts = tmp_path / "folder" / "progress.json", [letter * 5_000 for letter in "abcdefghijklmnop"]

    def write(text: str) -> set[str]:
        seen = set()
        for _ in range(200):
            write_text(path, text)
            seen.add(path.read_text())
        return seen

    with ThreadPoolExecutor(len(texts)) as pool:
        seen = set().union(*pool.map(write, texts))
    assert seen <= set(texts)
    assert [one.name for one in path.parent.iterdir()] == ["progress.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "whole.txt"
    write_text(path, "before")
    with pytest.raises(UnicodeEncodeError), replacing(path) as draft, draft.open("w", encoding="ascii") as file:
        file.writelines(("half", "\u2026"))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def renames(path: Path) -> bool:
    """Whether a file calls os.replace, or Path.replace, which unlike str.replace takes one argument."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "replace"]
    alone = [call for call in named if len(call.args) == 1 and not isinstance(call.args[0], ast.Starred)]
    return any(not call.keywords for call in alone) or any(ast.unparse(call.func) == "os.replace" for call in named)


def test_a_file_takes_another_ones_place_in_one_way() -> None:
    files = [path for storey in ("app", "kdcore") for path in (ROOT / storey).rglob("*.py")]
    assert {str(path.relative_to(ROOT)) for path in files if renames(path)} == RENAMERS
