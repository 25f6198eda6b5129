"""What others wrote: whatever a parser raises at it is one sentence, and nothing is expanded without bound."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from record_factory import listing

from kdcore.errors import BadInput, gist, upshot
from kdcore.runs.record import read_array, read_arrays
from kdcore.untrusted import MAX_DEPTH, parsing, read_json, read_text, read_yaml

DEEP = ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000]
TAGS = ["!!timestamp q", "!!int abc", "2001-99-99", "!!python/object/apply:os.getcwd []", "{", "\x00", "? [a]\n: b"]


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting_is_refused_whatever_the_parser_bears(text: str) -> None:
    for read in (read_json, read_yaml):
        with pytest.raises(ValueError, match=rf"nested more than {MAX_DEPTH} levels deep"):
            read(text)


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert read_json(text) == read_yaml(text)
    with pytest.raises(ValueError, match="levels deep"):
        read_json(f"[{text}]")


def test_aliases_that_expand_without_bound_are_refused() -> None:
    wide = f"a: &a [{','.join('x' * 100_000)}]\nb: [{','.join(['*a'] * 1000)}]"
    with pytest.raises(ValueError, match="more than 1,000,000 values"):
        read_yaml(wide)


@pytest.mark.parametrize("text", TAGS)
def test_yaml_that_its_own_parser_stumbles_over_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_yaml(text)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_text_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ValueError, match="more than 16 MB"):
        read_text(Path("/dev/zero"))


def test_a_text_is_utf_8_and_no_longer_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("ä" * 10, encoding="utf-8")
    assert read_text(path, 20) == "ä" * 10
    assert read_text(BytesIO(path.read_bytes())) == "ä" * 10
    with pytest.raises(ValueError, match="more than"):
        read_text(path, 19)
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)


@pytest.mark.parametrize("error", [RecursionError("too deep"), MemoryError(), KeyError("x"), ArithmeticError("a\nb")])
def test_any_error_of_a_parser_becomes_one_sentence(error: Exception) -> None:
    with (
        pytest.raises(BadInput, match=r"^The file is damaged \([^\n]+\); send it again\.$"),
        parsing("The file is damaged", "send it again"),
    ):
        raise error


def test_a_sentence_and_an_interrupt_pass_as_they_are() -> None:
    with pytest.raises(BadInput, match=r"^Too large\.$"), parsing("The file is damaged", "send it again"):
        raise BadInput("Too large.")
    with pytest.raises(KeyboardInterrupt), parsing("The file is damaged", "send it again"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [("", "OSError", "OSError"), (" \n ", "OSError", "OSError"), ("a", "a", "a"), (" a:\n\tb.\n", "a:", "b.")],
)
def test_an_error_has_a_first_and_a_last_line_whatever_it_says(said: str, first: str, last: str) -> None:
    assert (gist(OSError(said)), upshot(OSError(said))) == (first, last)


def test_a_sentence_can_always_be_sent() -> None:
    assert str(BadInput("a \udcff b")) == "a \\udcff b"


def test_arrays_are_read_from_no_directory_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "good.npz", a=np.arange(3), b=np.zeros(()))
    (tmp_path / "bad.npz").write_bytes(listing(60_000))
    found = read_arrays(tmp_path / "good.npz")
    assert (found["a"].tolist(), found["b"].shape) == ([0, 1, 2], ())
    one = read_array(tmp_path / "good.npz", "a")
    assert (None if one is None else one.tolist(), read_array(tmp_path / "good.npz", "c")) == ([0, 1, 2], None)
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: pytest.fail("it was parsed"))
    assert read_arrays(tmp_path / "bad.npz") == {}
    assert read_array(tmp_path / "bad.npz", "a") is None
