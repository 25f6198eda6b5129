"""Published sets: found, fetched, refused. A local archive and a local address stand in for the network."""

import gzip
import hashlib
import tarfile
import urllib.error
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from kdcore.data import _published
from kdcore.data._idx import PARTS
from kdcore.data._published import Archive, Published
from kdcore.errors import BadInput
from kdcore.spec.registry import DATA

PUBLISHED = [name for name in DATA if issubclass(DATA[name], Published)]


def idx(array: np.ndarray) -> bytes:
    """The array in MNIST's format: magic number, big-endian sizes, bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that serves a small MNIST, and a class that takes it for the published one."""
    import torchvision

    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (60, 28, 28), dtype=np.uint8), (np.arange(60) % 10).astype(np.uint8),
        rng.integers(0, 256, (20, 28, 28), dtype=np.uint8), (np.arange(20) % 10).astype(np.uint8),
    ]  # fmt: skip
    shop = tmp_path / "shop"
    shop.mkdir()
    for name, array in zip(PARTS, arrays, strict=True):
        (shop / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    kind = DATA["mnist"]
    monkeypatch.setattr(kind, "checksums", tuple(md5(idx(array)) for array in arrays))
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["file:///absent/", f"{shop.as_uri()}/"])
    packed = [(f"{name}.gz", md5((shop / f"{name}.gz").read_bytes())) for name in PARTS]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", packed)
    return shop


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(_published.urllib.request, "urlopen", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", PUBLISHED)
def test_offline_one_sentence_says_where_to_put_the_files(name: str, tmp_path: Path) -> None:
    kind = DATA[name]
    with pytest.raises(BadInput) as caught:
        kind().load(tmp_path)
    told = str(caught.value)
    assert "no route to host" in told
    assert all(str(tmp_path / place) in told for place in kind().archives())
    assert told.endswith(".")
    assert "\n" not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("shop")
def test_files_are_fetched_from_the_first_mirror_that_answers(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    home = tmp_path / "home"
    data = DATA["mnist"]().load(home, lambda what, share: told.append((what, share)))
    assert len(data.train.y) + len(data.val.y) == 60
    assert len(data.test.y) == 20
    assert any(what.startswith("downloading train-images-idx3-ubyte.gz, 0.0 of 0.0 MB") for what, _ in told)
    assert [share for what, share in told if what.startswith("downloading")] == [1.0] * 4
    assert sorted(path.name for path in home.rglob("*") if path.is_file()) == sorted(PARTS)


@pytest.mark.usefixtures("shop")
def test_what_is_there_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    first = DATA["mnist"]().load(home)
    monkeypatch.setattr(_published, "_download", lambda *_: pytest.fail("asked the network"))
    again = DATA["mnist"]().load(home)
    assert np.array_equal(first.train.x, again.train.x)


@pytest.mark.usefixtures("offline")
def test_archives_that_a_person_put_there_are_unpacked(shop: Path, tmp_path: Path) -> None:
    raw = tmp_path / "home" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in shop.iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    assert len(DATA["mnist"]().load(tmp_path / "home").test.y) == 20


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    DATA["mnist"]().load(home)
    damaged = home / "MNIST" / "raw" / name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"is damaged: its md5 .*; delete the file, .*\.$") as caught:
        DATA["mnist"]().load(home)
    assert str(caught.value).startswith(str(damaged))


def test_a_damaged_download_leaves_nothing(shop: Path, tmp_path: Path) -> None:
    (shop / f"{PARTS[3]}.gz").write_bytes(b"not what was promised")
    home = tmp_path / "home"
    with pytest.raises(BadInput, match=r"t10k-labels-idx1-ubyte\.gz came with a wrong checksum"):
        DATA["mnist"]().load(home)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_connection_that_breaks_off_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(BytesIO):
        headers = {"Content-Length": "100"}  # noqa: RUF012

    monkeypatch.setattr(_published.urllib.request, "urlopen", lambda *_, **__: Short(b"abc"))
    with pytest.raises(BadInput, match="ended after 3 of 100 bytes"):
        DATA["cifar10"]().load(tmp_path)


@pytest.mark.parametrize(
    ("name", "knobs", "labels_are", "names_are"),
    [("cifar10", {}, "labels", "label_names"), ("cifar100", {"classes": 4}, "fine_labels", "fine_label_names")],
)
def test_cifar_is_read_from_its_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    knobs: dict[str, int],
    labels_are: str,
    names_are: str,
) -> None:
    """The archive's own layout, small: channels stay where they were, labels follow, only classes asked for stay."""
    import pickle

    kind = DATA[name](**knobs)
    published = kind.torchvision()  # type: ignore[attr-defined]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3072), dtype=np.uint8)
    labels = np.arange(40) % 10
    batch = pickle.dumps({"data": pixels, labels_are: labels.tolist()})
    names = pickle.dumps({names_are: [f"kind_{k}" for k in range(10)]})
    with tarfile.open(tmp_path / published.filename, "w:gz") as archive:
        for place, content in (("data_batch_1", batch), ("test_batch", batch), ("batches.meta", names)):
            member = tarfile.TarInfo(f"{published.base_folder}/{place}")
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    monkeypatch.setattr(published, "train_list", [["data_batch_1", md5(batch)]])
    monkeypatch.setattr(published, "test_list", [["test_batch", md5(batch)]])
    monkeypatch.setattr(published, "meta", {"filename": "batches.meta", "key": names_are, "md5": md5(names)})
    monkeypatch.setattr(published, "tgz_md5", md5((tmp_path / published.filename).read_bytes()))
    data = kind.load(tmp_path)
    kept = labels < knobs.get("classes", 10)
    assert data.classes == tuple(f"kind {k}" for k in range(knobs.get("classes", 10)))
    assert np.array_equal(data.test.x, pixels.reshape(40, 3, 32, 32)[kept])
    assert data.test.y.tolist() == labels[kept].tolist()


def test_a_lone_archive_names_every_address() -> None:
    archives = DATA["mnist"]().archives()
    assert len(archives) == 4
    assert all(isinstance(archive, Archive) and len(archive.urls) >= 2 for archive in archives.values())
