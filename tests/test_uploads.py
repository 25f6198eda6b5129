"""Uploaded files: found again by their content, and refused by their first bytes."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from kdcore.errors import BadInput
from kdcore.files import uploads

ONNX = b"\x08\x09 the rest is the reader's matter"
HEAD = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
SAFETENSORS = struct.pack("<Q", len(HEAD)) + HEAD + b"\0\0\0\0"


class Explodes:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Explodes()))
    return packed.getvalue()


@pytest.mark.parametrize(("content", "kind"), [(ONNX, "onnx"), (SAFETENSORS, "safetensors")])
def test_a_file_is_kept_under_its_content(home: Path, content: bytes, kind: str) -> None:
    (home / "given").write_bytes(content)
    name = uploads.keep(home / "given")
    assert name == uploads.keep(content) == uploads.keep(content, kind)
    assert name.endswith(f".{kind}")
    assert uploads.path(name, kind).read_bytes() == content
    assert [path.name for path in (home / "uploads").iterdir()] == [name]


@pytest.mark.parametrize("content", [pickle.dumps(Explodes(), protocol) for protocol in (0, 2, 5)] + [zipped()])
def test_a_pickle_is_refused_unread(home: Path, content: bytes) -> None:
    with pytest.raises(BadInput, match=r"looks like a pickle or a zip.*ONNX file .*safetensors"):
        uploads.keep(content)
    assert not (home / "uploads").exists()


def test_a_few_lines_turn_torchs_own_file_into_safetensors(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = torch.ones(2, 3)
    torch.save({"w": shared, "same": shared, "turned": torch.ones(2, 3).T}, home / "model.pt")
    with pytest.raises(BadInput) as caught:
        uploads.keep(home / "model.pt")
    lines = str(caught.value).partition("into the latter: ")[2].removesuffix(".").split("; ")
    assert lines[0] == "import torch"
    monkeypatch.chdir(home)
    exec("\n".join(lines), {})
    assert uploads.keep(home / "model.safetensors").endswith(".safetensors")


@pytest.mark.parametrize("content", [b"", b"GIF89a", SAFETENSORS[:20], b"\0" * 40])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match="neither ONNX nor safetensors"):
        uploads.keep(content)


def test_a_file_of_another_kind_than_said() -> None:
    with pytest.raises(BadInput, match="no onnx file but looks like safetensors"):
        uploads.keep(SAFETENSORS, "onnx")


def test_a_huge_file_is_refused_before_it_is_read(home: Path) -> None:
    with (home / "huge").open("wb") as file:
        file.truncate(uploads.LIMIT_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(BadInput, match=r"2\.0 GB, but at most 2"):
        uploads.keep(home / "huge")


def test_a_file_that_is_not_there(home: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        uploads.keep(home / "none")
    with pytest.raises(BadInput, match="No uploaded file is named"):
        uploads.path("0123456789abcdef.onnx", "onnx")
    with pytest.raises(BadInput, match="needs a file"):
        uploads.path("", "onnx")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "0123456789abcdef.safetensors", "0123456789abcdef.onnx\n", "x" * 10_000]
)
def test_no_name_leads_elsewhere(name: str) -> None:
    with pytest.raises(BadInput, match="no name of an uploaded onnx file") as caught:
        uploads.path(name, "onnx")
    assert len(str(caught.value)) < 300
